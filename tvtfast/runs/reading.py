"""One run as its folder tells it, and all runs below a folder."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tvtfast.common.cost import Cost
from tvtfast.common.foreign import BadFileError, reading
from tvtfast.common.run_folder import RECORD, RunError, cost_of, is_busy, read_record

_BEST = "best.json"
_CURVES = ("trace.csv", "log.csv", "family.csv")
"""What a search, a training or growth writes a line of per population, epoch or model."""
_CARDS = ("student.json", "teacher.json", "superformer.json")
"""What says how good a trained network is."""


@dataclass(frozen=True)
class Run:
    """What the folder of a run says.

    Args:
        folder: The folder.
        command: What ran, such as ``search``.
        status: ``running``, ``finished``, ``interrupted``, ``failed``, or ``abandoned``: its
            process died.
        started: When it was last started, in UTC.
        settings: All that its result depends on.
        cost: Over all its starts.
        best: What it ended with, by name: ``score``, ``params`` and ``flops`` of the winner of a
            search; ``accuracy`` on the test images and ``held_out_accuracy`` of a training, both
            top-1 in per cent.
        curve: Columns of its trace or log, by name, with a number per line.
    """

    folder: Path
    command: str
    status: str
    started: str
    settings: Mapping[str, Any]
    cost: Cost
    best: Mapping[str, float]
    curve: Mapping[str, Sequence[float]]


def read_run(folder: str | os.PathLike[str]) -> Run:
    """The run of a folder.

    Raises:
        RunError: There is none.
        BadFileError: A file of it is damaged.
    """
    path = Path(folder)
    record = read_record(path)
    if record is None:
        raise RunError(f"{os.fspath(folder)} is no run folder: it has no {RECORD}")
    status = str(record.get("status", "unknown"))
    if status == "running" and not is_busy(record):
        status = "abandoned"
    return Run(
        folder=path,
        command=str(record.get("command", "unknown")),
        status=status,
        started=str(record.get("started", "")),
        settings=record["settings"],
        cost=cost_of(record),
        best=_winner(path) | _accuracies(path),
        curve=_curve(path),
    )


def find_runs(folder: str | os.PathLike[str]) -> tuple[list[Run], list[tuple[Path, str]]]:
    """All runs in a folder and below it, those that were started last first; and the folders whose
    record cannot be read, with the reason."""
    found, left_out = [], []
    for record in sorted(Path(folder).rglob(RECORD)):
        try:
            found.append(read_run(record.parent))
        except (RunError, BadFileError) as error:
            left_out.append((record.parent, str(error)))
    return sorted(found, key=lambda run: run.started, reverse=True), left_out


def _winner(folder: Path) -> dict[str, float]:
    path = folder / _BEST
    if not path.is_file():
        return {}
    with reading(path, "the winner of a search", advice="remove it and repeat the command"):
        content = json.loads(path.read_text(encoding="utf-8"))
        return {name: float(content[name]) for name in ("score", "params", "flops")}


def _accuracies(folder: Path) -> dict[str, float]:
    path = next((folder / name for name in _CARDS if (folder / name).is_file()), None)
    if path is None:
        return {}
    with reading(path, "the card of a network", advice="repeat the command that trained it"):
        card = json.loads(path.read_text(encoding="utf-8"))
        found = {name: card.get(name) for name in ("accuracy", "held_out_accuracy")}
    return {name: float(value) for name, value in found.items() if value is not None}


def _curve(folder: Path) -> dict[str, list[float]]:
    path = next((folder / name for name in _CURVES if (folder / name).is_file()), None)
    if path is None:
        return {}
    advice = "remove it and repeat the command"
    with (
        reading(path, "the curve of a run", advice=advice),
        open(path, encoding="utf-8", newline="") as text,
    ):
        lines = list(csv.DictReader(text, strict=True))
    columns = {
        name: [_number(line[name]) for line in lines] for name in (lines[0] if lines else ())
    }
    return {
        name: [value for value in values if value is not None]
        for name, values in columns.items()
        if any(value is not None for value in values)
    }


def _number(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None
