"""What a training leaves on disk, so that it can be continued, read and trusted."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from tvtfast.common.files import write_durably
from tvtfast.models import CheckpointError
from tvtfast.training.settings import differences

LAST = "last.pt"
LOG = "log.csv"
_VERSION = 1


class TrainingError(RuntimeError):
    """Training stopped; the message says why, and what was kept."""


class TrainingFolder:
    """The state after the last epoch (``last.pt``), and ``log.csv``.

    ``last.pt`` is one file, so that weights, optimiser and history always belong together, and
    every file takes the place of the one before it at once: whenever the process dies, the folder
    holds the end of some epoch. Generators of random numbers have no state to keep: order,
    augmentation and dropout are functions of (seed, epoch, step).

    Args:
        path: The folder; made where it does not exist.
        settings: All that the weights depend on, as plain values; a state with other settings is
            not continued.
    """

    def __init__(self, path: str | os.PathLike[str], settings: Mapping[str, Any]) -> None:
        self.path, self.settings = Path(path), dict(settings)
        self.path.mkdir(parents=True, exist_ok=True)

    def load(self) -> dict[str, Any] | None:
        """The state to continue from, on the CPU; ``None`` at the beginning.

        Raises:
            CheckpointError: It is damaged, or of a training with other settings.
        """
        path = self.path / LAST
        if not path.exists():
            return None
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            version, found = state["version"], state["settings"]
        except Exception as error:
            raise CheckpointError(
                f"{path} cannot be read ({type(error).__name__}); it was damaged after it was "
                "written. Remove it to train from the beginning, or restore a copy"
            ) from error
        if version != _VERSION:
            raise CheckpointError(f"{path} has version {version}; this tvtfast reads {_VERSION}")
        changes = differences(found, self.settings)
        if changes:
            raise CheckpointError(
                f"{self.path} holds another training ({changes}); repeat its command to continue "
                "it, or choose another output folder"
            )
        return dict(state)

    def save(self, state: Mapping[str, Any], history: list[dict[str, float]]) -> None:
        """Write the state after an epoch and the log of all epochs.

        Raises:
            TrainingError: They cannot be written; those of the epoch before are still there.
        """
        full = {"version": _VERSION, "settings": self.settings, **state}
        with self.writing(state["epoch"] - 1):
            write_durably(self.path / LAST, lambda path: torch.save(full, path))
            write_durably(
                self.path / LOG,
                lambda path: path.write_text(_csv(history), encoding="utf-8"),
            )

    @contextmanager
    def writing(self, kept: int) -> Iterator[None]:
        """Turn what goes wrong while files are written into a message that says what was kept."""
        try:
            yield
        except Exception as error:
            state = f"the state after epoch {kept} is" if kept else "nothing was"
            raise TrainingError(
                f"cannot write to {self.path}: {error}; {state} kept. Free some space and run the "
                "same command again to continue"
            ) from error


def _csv(history: list[dict[str, float]]) -> str:
    lines = io.StringIO()
    writer = csv.DictWriter(lines, fieldnames=list(history[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    return lines.getvalue()
