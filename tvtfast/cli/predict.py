"""``tvtfast predict``."""

from __future__ import annotations

import csv
import os
import sys
from argparse import Namespace
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, TextIO

from tvtfast.cli.output import Report
from tvtfast.cli.parsing import Parser, UsageError
from tvtfast.common.fallbacks import logger
from tvtfast.common.files import check_file, replacing
from tvtfast.common.foreign import BadFileError

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NAMED = 3

_EXAMPLES = (
    "tvtfast predict --student runs/a/student --images photos/ --top 3",
    "tvtfast predict --student runs/a/student --images cat.jpg --json",
)


def parser() -> Parser:
    """Flags of the command."""
    parser = Parser(
        "Classify images with a trained student.",
        _EXAMPLES,
    )
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


def run(cfg: Namespace, parser: Parser) -> Report:
    """One row per image and class: path, rank, class, probability; printed as they are found.

    Images that cannot be read have no rows; they are named at the end, as an error.
    """
    from tvtfast.students import predict

    if not cfg.student or not cfg.images:
        raise UsageError("name both: --student runs/student --images folder")
    if cfg.output is not None:
        check_file("output", cfg.output)
    unreadable: list[Path] = []
    told: list[dict[str, Any]] = []
    refused: list[dict[str, Any]] = []

    def leave_out(path: Path, error: Exception) -> None:
        unreadable.append(path)
        if cfg.json:
            refused.append(_told(path, "error", str(error)))
        logger.warning("%s", error)

    classified = 0
    failure: Exception | None = None
    with suppress(_NotClassifiedError), ExitStack() as files:
        lines: TextIO = files.enter_context(open(os.devnull, "w")) if cfg.json else sys.stdout
        if cfg.output is not None:
            target = files.enter_context(replacing(cfg.output))
            lines = files.enter_context(open(target, "w", encoding="utf-8", newline=""))
        rows = csv.writer(lines, lineterminator="\n")
        for found in predict(
            cfg.student,
            cfg.images,
            top=cfg.top,
            batch_size=cfg.batch_size,
            device=cfg.device,
            on_unreadable=leave_out,
        ):
            if not classified:
                rows.writerow(("image", "rank", "class", "probability"))
            classified += 1
            classes = list(zip(found.classes, found.probabilities, strict=True))
            if cfg.json:
                told.append(_told(found.path, "ok", "", classes))
            for rank, (name, value) in enumerate(classes, start=1):
                rows.writerow((as_cell(str(found.path)), rank, as_cell(name), f"{value:.6f}"))
        if unreadable:
            failure = _NotClassifiedError(unreadable, classified)
        if failure is not None and not classified:
            raise failure  # and no file is written
    return Report("", {"images": told + refused}, failure)


def _told(
    path: Path, status: str, reason: str, classes: Iterable[tuple[str, float]] = ()
) -> dict[str, Any]:
    found = [{"class": name, "probability": value} for name, value in classes]
    return {"image": str(path), "status": status, "reason": reason, "classes": found}


def as_cell(text: str) -> str:
    """Text that no spreadsheet takes for a formula: a leading apostrophe says that it is text.

    Bytes of names of files that are not UTF-8 are written as ``\\udc..``.
    """
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return f"'{text}" if text.startswith(_FORMULA) else text


class _NotClassifiedError(BadFileError):
    def __init__(self, unreadable: list[Path], classified: int) -> None:
        names = ", ".join(str(path) for path in unreadable[:_NAMED])
        more = f" and {len(unreadable) - _NAMED} more" if len(unreadable) > _NAMED else ""
        super().__init__(
            f"{len(unreadable)} of {len(unreadable) + classified} images cannot be read and have "
            f"no rows: {names}{more}"
        )
