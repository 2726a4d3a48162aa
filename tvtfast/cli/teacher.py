"""``tvtfast teacher``."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from tvtfast.cli.costs import cost_data, cost_in, cost_line
from tvtfast.cli.folders import command_folder
from tvtfast.cli.launching import add_training_workers_option, is_shared
from tvtfast.cli.output import Report, places
from tvtfast.cli.parsing import Parser
from tvtfast.cli.training import (
    accuracies,
    add_data_options,
    add_recipe_options,
    epochs_in,
    recipe_report,
    training_arguments,
)
from tvtfast.distill import TEACHER_RECIPE, train_teacher
from tvtfast.models.teacher_folder import read_teacher_card
from tvtfast.training.processes import announces
from tvtfast.training.training_folder import LOG

_EXAMPLES = (
    "tvtfast teacher --data-set digits --arch resnet20 --epochs 20",
    "tvtfast teacher --data-set photos/ --arch resnet18 --output-dir teacher",
)


def parser() -> Parser:
    """Flags of the command."""
    parser = Parser(
        "Train a ConvNet teacher; the same command continues a training that was stopped.",
        _EXAMPLES,
    )
    add_data_options(parser)
    add_training_workers_option(parser)
    parser.add_argument(
        "--arch",
        type=str,
        default="resnet56",
        help="resnet8 ... resnet110 for a CIFAR ResNet, or the name of a timm ConvNet",
    )
    parser.add_argument(
        "--img-size",
        type=int | None,
        default=None,
        help="side in pixels; default 32 for a CIFAR ResNet, else the data set's",
    )
    add_recipe_options(parser, TEACHER_RECIPE)
    return parser


def run(cfg: Namespace, parser: Parser) -> Report | None:
    """Train, and tell how good the teacher is and where it lies."""
    if cfg.print_recipe:
        return recipe_report(cfg, TEACHER_RECIPE)
    if is_shared(cfg, parser):
        return None
    folder = command_folder(cfg, Path("runs") / f"{Path(cfg.data_set).stem}-{cfg.arch}")
    arguments = training_arguments(cfg, TEACHER_RECIPE, folder)
    train_teacher(cfg.arch, cfg.data_set, img_size=cfg.img_size, **arguments)
    if not announces():
        return None
    cost = cost_in(folder.chosen)
    card, epochs = read_teacher_card(folder.chosen).card, epochs_in(folder.chosen)
    data = {
        "teacher": folder.chosen,
        "arch": cfg.arch,
        "log": folder.chosen / LOG,
        "epochs": epochs,
        "accuracy": card.accuracy,
        "held_out_accuracy": card.held_out_accuracy,
        "cost": cost_data(cost),
    }
    text = f"{accuracies(card)} (of {epochs} epochs)"
    found = places({"teacher": folder.chosen, "log": folder.chosen / LOG})
    return Report("\n".join([text, *cost_line(cost), found]), data)
