"""``tvtfast teacher``."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from jsonargparse import ArgumentParser

from tvtfast.cli.folders import command_folder
from tvtfast.cli.training import add_data_options, add_recipe_options, training_arguments
from tvtfast.distill import TEACHER_RECIPE, train_teacher
from tvtfast.training.processes import announces


def parser() -> ArgumentParser:
    """Flags of the command."""
    parser = ArgumentParser(
        description="Train a ConvNet teacher; the same command continues a training that was "
        "stopped."
    )
    add_data_options(parser)
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


def run(cfg: Namespace, parser: ArgumentParser) -> None:
    """Train, and say where the teacher lies."""
    folder = command_folder(cfg, Path("runs") / f"{Path(cfg.data_set).stem}-{cfg.arch}")
    arguments = training_arguments(cfg, TEACHER_RECIPE, folder)
    train_teacher(cfg.arch, cfg.data_set, img_size=cfg.img_size, **arguments)
    if announces():
        print(f"teacher  {folder.chosen}\nlog      {folder.chosen / 'log.csv'}")
