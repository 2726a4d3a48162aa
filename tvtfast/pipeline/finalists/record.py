"""What a tournament knows so far, on disk after every training."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tvtfast.common.files import write_json
from tvtfast.common.foreign import reading
from tvtfast.pipeline.finalists.choosing import Finalist
from tvtfast.pipeline.finalists.rungs import Rungs

FILE = "tournament.json"
_VERSION = 1


@dataclass(frozen=True)
class Course:
    """How far a finalist has come.

    Args:
        accuracies: After every rung that it ended, held-out accuracy of its best epoch so far, in
            percent.
        seconds: Of its epochs.
        failed: Why its training went no further; ``None`` where nothing was wrong.
    """

    accuracies: tuple[float, ...] = ()
    seconds: float = 0.0
    failed: str | None = None


class Record:
    """``tournament.json``: everything that was decided and measured. What was is not done again.

    Args:
        folder: Of the tournament.

    Attributes:
        rungs: ``None`` until they are decided.
        seconds_per_epoch: Of the slowest finalist, where that was measured.
        finalists: In the order they entered.
        proposed: Whether those that the first rung proposes are among them.
        courses: By name of the finalist.
        notes: What is to be known about the tournament.

    Raises:
        BadFileError: The file is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self.rungs: Rungs | None = None
        self.seconds_per_epoch: float | None = None
        self.finalists: tuple[Finalist, ...] = ()
        self.proposed = False
        self.courses: dict[str, Course] = {}
        self.notes: tuple[str, ...] = ()
        if self.path.exists():
            with reading(self.path, "the record of a tournament", advice="remove the folder"):
                self._restore(json.loads(self.path.read_text(encoding="utf-8")))

    def _restore(self, content: Any) -> None:
        if content["version"] != _VERSION:
            raise ValueError(f"version {content['version']} is not known")
        rungs = content["rungs"]
        if rungs is not None:
            self.rungs = Rungs(tuple(rungs["epochs"]), tuple(rungs["sizes"]), rungs["proposed"])
        self.seconds_per_epoch = content["seconds_per_epoch"]
        self.finalists = tuple(
            Finalist(one["name"], tuple(one["roles"]), one["described"], one["row"])
            for one in content["finalists"]
        )
        self.proposed = content["proposed"]
        self.courses = {
            name: Course(tuple(one["accuracies"]), one["seconds"], one["failed"])
            for name, one in content["courses"].items()
        }
        self.notes = tuple(content["notes"])

    def write(self) -> None:
        """Replace the file at once."""
        write_json(
            self.path,
            {
                "version": _VERSION,
                "rungs": None if self.rungs is None else asdict(self.rungs),
                "seconds_per_epoch": self.seconds_per_epoch,
                "finalists": [asdict(one) for one in self.finalists],
                "proposed": self.proposed,
                "courses": {
                    one.name: asdict(self.courses[one.name])
                    for one in self.finalists
                    if one.name in self.courses
                },
                "notes": list(self.notes),
            },
        )

    def curves(self) -> dict[str, Any]:
        """Accuracies at the ends of rungs, as the page of a tournament shows them."""
        rungs, courses = self.rungs, dict(self.courses)
        if rungs is None:
            return {}
        return {
            name: {
                "x": list(rungs.epochs[: len(one.accuracies)]),
                "y": list(one.accuracies),
                "x_axis": "epoch",
                "y_axis": "held-out accuracy, %",
            }
            for name, one in courses.items()
        }

    def course(self, finalist: Finalist) -> Course:
        """How far a finalist has come."""
        return self.courses.get(finalist.name, Course())

    def accuracy(self, finalist: Finalist, rung: int) -> float | None:
        """Held-out accuracy at the end of a rung; ``None`` where it did not end it."""
        found = self.course(finalist).accuracies
        return found[rung] if rung < len(found) else None

    def ended(self, finalist: Finalist, accuracy: float, seconds: float) -> None:
        """A finalist ended its next rung."""
        before = self.course(finalist).accuracies
        self.courses[finalist.name] = Course((*before, accuracy), seconds)
        self.write()

    def failed(self, finalist: Finalist, why: str) -> None:
        """The training of a finalist goes no further."""
        before = self.course(finalist)
        self.courses[finalist.name] = Course(before.accuracies, before.seconds, why)
        self.write()


def best_of(record: Record, finalists: Sequence[Finalist], rung: int, count: int) -> list[Finalist]:
    """The ``count`` best at the end of a rung, in the order they entered; of equals those of fewer
    parameters."""
    measured: Mapping[str, float] = {
        one.name: accuracy
        for one in finalists
        if (accuracy := record.accuracy(one, rung)) is not None
    }
    able = [one for one in finalists if one.name in measured]
    ordered = sorted(able, key=lambda one: (-measured[one.name], one.params, one.name))
    kept = {one.name for one in ordered[:count]}
    return [one for one in finalists if one.name in kept]
