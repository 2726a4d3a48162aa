"""``tvtfast predict``."""

from __future__ import annotations

import csv
import sys
from argparse import Namespace
from contextlib import ExitStack
from typing import TextIO

from jsonargparse import ArgumentParser

from tvtfast.cli.options import UsageError
from tvtfast.common.files import replacing


def parser() -> ArgumentParser:
    """Flags of the command."""
    parser = ArgumentParser(description="Classify images with a trained student.")
    parser.add_argument("--student", type=str, default="", help="student folder")
    parser.add_argument(
        "--images", type=str, nargs="+", default=[], help="folders of images, or images"
    )
    parser.add_argument("--top", type=int, default=1, help="classes per image")
    parser.add_argument("--batch-size", type=int, default=64, help="images per pass")
    parser.add_argument("--device", type=str | None, default=None, help="default the GPU, else CPU")
    parser.add_argument(
        "--output", type=str | None, default=None, help="CSV file; default the terminal"
    )
    return parser


def run(cfg: Namespace, parser: ArgumentParser) -> None:
    """Print one row per image and class: path, rank, class, probability."""
    from tvtfast.students import predict

    if not cfg.student or not cfg.images:
        raise UsageError("name both: --student runs/student --images folder")
    with ExitStack() as files:
        lines: TextIO = sys.stdout
        if cfg.output is not None:
            target = files.enter_context(replacing(cfg.output))
            lines = files.enter_context(open(target, "w", encoding="utf-8", newline=""))
        rows = csv.writer(lines, lineterminator="\n")
        rows.writerow(("image", "rank", "class", "probability"))
        for found in predict(
            cfg.student, cfg.images, top=cfg.top, batch_size=cfg.batch_size, device=cfg.device
        ):
            for rank, (name, value) in enumerate(
                zip(found.classes, found.probabilities, strict=True), start=1
            ):
                rows.writerow((found.path, rank, name, f"{value:.6f}"))
