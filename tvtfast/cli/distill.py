"""``tvtfast distill``."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

from tvtfast import spaces
from tvtfast.cli.costs import cost_data, cost_in, cost_line, forecast_line
from tvtfast.cli.folders import command_folder
from tvtfast.cli.launching import add_training_workers_option, is_shared
from tvtfast.cli.output import Report
from tvtfast.cli.parsing import Parser, UsageError
from tvtfast.cli.teachers import add_teacher_options
from tvtfast.cli.training import (
    NONE,
    accuracies,
    add_data_options,
    add_guidance_options,
    add_progressive_option,
    add_recipe_options,
    chosen_teacher,
    distillation,
    progressive_tokens,
    recipe_report,
    training_arguments,
)
from tvtfast.common.run_folder import CommandFolder
from tvtfast.distill import (
    STUDENT_RECIPE,
    TrainedStudent,
    distill,
)
from tvtfast.distill.subject import read_architecture, timm_name
from tvtfast.training.processes import announces
from tvtfast.training.training_folder import LOG

_EXAMPLES = (
    "tvtfast distill --arch runs/a/best.json --data-set photos/ --teacher teacher",
    "tvtfast distill --arch deit_tiny_patch16_224 --guidance none --epochs 100",
)


def parser() -> Parser:
    """Flags of the command."""
    parser = Parser(
        "Train a student, guided by a teacher or plainly; the same command continues a "
        "training that was stopped.",
        _EXAMPLES,
    )
    add_data_options(parser)
    add_training_workers_option(parser)
    model = parser.add_argument_group("student")
    model.add_argument(
        "--arch",
        type=str,
        default="",
        help="a student folder to train on, the name of a model of timm such as "
        f"deit_tiny_patch16_224, or {spaces.ARCH_FORMS}",
    )
    model.add_argument(
        "--space",
        type=str | None,
        default=None,
        help=f"of an architecture that does not bring it along: {', '.join(spaces.available())}",
    )
    model.add_argument(
        "--img-size", type=int | None, default=None, help="side in pixels; default as searched"
    )
    model.add_argument(
        "--patch-size", type=int | None, default=None, help="side in pixels; default as searched"
    )
    add_teacher_options(parser, "digits trains its own")
    add_guidance_options(parser)
    add_recipe_options(parser, STUDENT_RECIPE)
    add_progressive_option(parser)
    return parser


def run(cfg: Namespace, parser: Parser) -> Report | None:
    """Train, and print how good the student is and where the student lies."""
    if cfg.print_recipe:
        return recipe_report(cfg, STUDENT_RECIPE)
    if not cfg.arch:
        raise UsageError("name the architecture: --arch runs/x/best.json")
    if is_shared(cfg, parser):
        return None
    trained = distill(**asked(cfg, command_folder(cfg, default_folder(cfg))))
    if not announces():
        return None
    data = {
        "student": trained.folder,
        "accuracy": trained.accuracy,
        "held_out_accuracy": trained.held_out_accuracy,
        "epoch": trained.student.card.recipe["epoch"],
        "epochs": len(trained.history),
        "log": trained.folder / LOG,
        "cost": cost_data(cost_in(trained.folder)),
    }
    return Report(_summary(trained), data)


def asked(cfg: Namespace, folder: CommandFolder) -> dict[str, Any]:
    """Arguments of `tvtfast.distill` from the flags."""
    how = distillation(cfg)
    options = {
        name: getattr(cfg, name)
        for name in ("img_size", "patch_size")
        if getattr(cfg, name) is not None
    }
    if not Path(cfg.arch).is_dir() and timm_name(cfg.arch) is None:
        read_architecture(cfg.arch)
    training = training_arguments(cfg, STUDENT_RECIPE, folder)
    training["recipe"] = replace(training["recipe"], tokens=progressive_tokens(cfg))
    return {
        "student": cfg.arch,
        "dataset": cfg.data_set,
        "teacher": chosen_teacher(cfg, how),
        "space": cfg.space,
        "how": how,
        **training,
        **options,
    }


def _summary(trained: TrainedStudent) -> str:
    card = trained.student.card
    return "\n".join(
        [
            f"{accuracies(card)} (epoch {card.recipe['epoch']} of {len(trained.history)})",
            *cost_line(cost_in(trained.folder)),
            *forecast_line(trained.folder),
            f"student  {trained.folder}",
            f"log      {trained.folder / LOG}",
        ]
    )


def default_folder(cfg: Namespace) -> str:
    """Where the student goes unless it is said."""
    beside = Path(cfg.arch).parent if Path(cfg.arch).suffix == ".json" else Path("runs")
    how = "plain" if cfg.guidance == cfg.logits == NONE else "distilled"
    return str(beside / f"{Path(cfg.data_set).stem}-{how}-seed{cfg.seed}")
