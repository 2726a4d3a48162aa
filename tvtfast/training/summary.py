"""What a person sees of a training: a progress bar, and curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from tvtfast.common.progress import track
from tvtfast.common.trackers import Tracker

_NOT_CURVES = ("epoch", "seconds")


def curves(history: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Losses, accuracies and learning rate over epochs, as the page of a training shows them."""
    rows = list(history)
    found = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        kind = next((kind for kind in ("loss", "accuracy", "lr") if kind in name), None)
        if kind is not None:
            known = [row for row in rows if name in row]
            found[name] = {
                "x": [row["epoch"] for row in known],
                "y": [row[name] for row in known],
                "x_axis": "epoch",
                "y_axis": {"accuracy": "accuracy, %", "lr": "learning rate"}.get(kind, kind),
            }
    return found


class EpochLog:
    """Progress of one training; a context manager.

    Args:
        name: What is trained on.
        epochs: Epochs of the whole training.
        steps: Steps per epoch.
        done: Epochs that are done already.
        progress: Show a progress bar.
        trackers: Who else keeps the curves.
    """

    def __init__(
        self,
        name: str,
        epochs: int,
        steps: int,
        done: int,
        *,
        progress: bool,
        trackers: Sequence[Tracker] = (),
    ) -> None:
        self.steps, self.done, self.trackers = steps, done, trackers
        self.what = f"training on {name}"
        self.bar = track(
            self.what, total=epochs * steps, unit="step", initial=done * steps, show=progress
        )

    def step(self, steps: int, loss: float) -> None:
        """Steps of this epoch that are done, and the mean loss over them."""
        self.bar.remark(f"loss {loss:.3f}")
        self.bar.update(self.done * self.steps + steps - self.bar.n)

    def epoch(self, row: dict[str, float]) -> None:
        """One finished epoch."""
        self.done += 1
        found = f"{row['accuracy']:.1f} % held out " if "accuracy" in row else ""
        self.bar.describe(f"{self.what}, {found}after epoch {self.done}")
        points = {name: value for name, value in row.items() if name not in _NOT_CURVES}
        for tracker in self.trackers:
            tracker.add(points, self.done)

    def __enter__(self) -> EpochLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bar.close()
