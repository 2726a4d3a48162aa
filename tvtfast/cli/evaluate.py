"""``tvtfast evaluate``."""

from __future__ import annotations

import csv
import io
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tvtfast.cli.choices import DATA_SETS, TRAINING_DTYPES
from tvtfast.cli.output import Report, places, wrapped
from tvtfast.cli.parsing import Parser, UsageError
from tvtfast.cli.predict import as_cell
from tvtfast.common.files import check_folder, write_durably, write_json

if TYPE_CHECKING:
    from tvtfast.students.evaluating import Evaluation

_SHOWN = 3
"""Classes that the summary names as the worst."""

_EXAMPLES = (
    "tvtfast evaluate runs/a/student --data-set photos/",
    "tvtfast evaluate teacher --data-set cifar100 --output-dir evaluated",
)


def parser() -> Parser:
    """Flags of the command."""
    parser = Parser(
        "Measure a trained student or teacher on a labelled data set.",
        _EXAMPLES,
    )
    parser.add_argument(
        "model", metavar="STUDENT", type=str, nargs="?", default="", help="or a teacher's folder"
    )
    parser.add_argument(
        "--data-set",
        "--dataset",
        type=str,
        default="",
        help="name of a data set, folder of images, or .npz file",
    )
    parser.choices["data_set"] = DATA_SETS
    parser.add_argument("--data-path", type=str | None, default=None, help="folder of the data set")
    parser.add_argument(
        "--split",
        type=str,
        default="eval",
        help="of the data set; eval: what students are tested on; held-out: what the epoch of a "
        "student was chosen by",
    )
    parser.add_argument("--batch-size", type=int, default=64, help="images per pass")
    parser.add_argument(
        "--loading-workers",
        type=int,
        default=0,
        help="processes that load images; changes no result",
    )
    parser.add_argument("--dtype", type=str, default="float32", help=", ".join(TRAINING_DTYPES))
    parser.choices["dtype"] = TRAINING_DTYPES
    parser.add_argument("--device", type=str | None, default=None, help="default the GPU, else CPU")
    parser.add_argument(
        "--output-dir",
        type=str | None,
        default=None,
        help="folder for evaluation.json, classes.csv, confusion.csv, confusion.png; default "
        "evaluation-DATA_SET in the model's, with the split where it is not eval",
    )
    return parser


def run(cfg: Namespace, parser: Parser) -> Report:
    """Evaluate, write what was found, and sum it up."""
    from tvtfast.students import evaluate

    if not cfg.model or not cfg.data_set:
        raise UsageError("name both: tvtfast evaluate runs/student --data-set photos/")
    if cfg.output_dir is not None or Path(cfg.model).is_dir():
        check_folder("output_dir", cfg.output_dir or cfg.model)
    found = evaluate(
        cfg.model,
        cfg.data_set,
        data_path=cfg.data_path,
        split=cfg.split,
        batch_size=cfg.batch_size,
        workers=cfg.loading_workers,
        device=cfg.device,
        dtype=cfg.dtype,
        progress=not cfg.quiet,
    )
    data = asdict(found) | {"confusion": found.confusion.tolist()}
    named = f"evaluation-{found.dataset}" + ("" if cfg.split == "eval" else f"-{cfg.split}")
    folder = Path(cfg.model) / named if cfg.output_dir is None else Path(cfg.output_dir)
    text = f"{_summary(found)}\n{places(_write(found, data, folder))}"
    return Report(text, {**data, "output_dir": folder})


def _summary(found: Evaluation) -> str:
    top5 = "" if found.top5 is None else f", top-5 {found.top5:.2f} %"
    worst = sorted(found.classes, key=lambda one: one.accuracy)[:_SHOWN]
    lines = (
        f"top-1 {found.accuracy:.2f} %{top5} of {found.images:,} images "
        f"({found.dataset} {found.split}, classes matched by {found.matched_by})",
        f"calibration error {found.calibration_error:.4f} (expected, 15 bins)",
        f"worst classes: {', '.join(f'{one.name} {one.accuracy:.1f} %' for one in worst)}",
        f"{found.images_per_second:,.1f} images/s (batches of {found.batch_size}, {found.device}, "
        f"{found.dtype}; the network alone)",
    )
    return "\n".join(wrapped(line, indent="  ") for line in lines)


def _write(found: Evaluation, data: dict[str, Any], folder: Path) -> dict[str, Path]:
    from tvtfast.report import confusion_figure
    from tvtfast.report.figures.canvas import png

    folder.mkdir(parents=True, exist_ok=True)
    names = [as_cell(name) for name in found.names]
    classes = [(as_cell(one.name), one.images, f"{one.accuracy:.4f}") for one in found.classes]
    cells = [(n, *row) for n, row in zip(names, found.confusion.tolist(), strict=True)]
    picture = png(confusion_figure(found.confusion, found.names))
    write_json(folder / "evaluation.json", data)
    _write_text(folder / "classes.csv", [("class", "images", "accuracy"), *classes])
    _write_text(folder / "confusion.csv", [("class", *names), *cells])
    write_durably(folder / "confusion.png", lambda path: path.write_bytes(picture))
    return {
        name: folder / name
        for name in ("evaluation.json", "classes.csv", "confusion.csv", "confusion.png")
    }


def _write_text(target: Path, rows: list[tuple[Any, ...]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_durably(target, lambda path: path.write_text(text.getvalue(), encoding="utf-8"))
