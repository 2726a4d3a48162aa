"""``tvtfast teacher``."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from jsonargparse import ArgumentParser

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
    folder = Path("runs") / f"{Path(cfg.data_set).stem}-{cfg.arch}"
    cfg.output_dir = cfg.output_dir or str(folder)
    train_teacher(
        cfg.arch, cfg.data_set, img_size=cfg.img_size, **training_arguments(cfg, TEACHER_RECIPE)
    )
    if announces():
        print(f"teacher  {cfg.output_dir}\nlog      {Path(cfg.output_dir) / 'log.csv'}")
