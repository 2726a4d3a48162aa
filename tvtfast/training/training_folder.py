"""What a training leaves on disk, so that it can be continued, read and trusted."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tvtfast.common.cost import Meter
from tvtfast.common.files import FullDiskError, write_durably
from tvtfast.common.foreign import reading
from tvtfast.common.identity import Identity
from tvtfast.common.run_folder import OtherRunError, RunFolder, RunRecord, read_record
from tvtfast.models import CheckpointError
from tvtfast.report import draw_live
from tvtfast.training.kept import Keeper
from tvtfast.training.sealed_file import load_sealed, save_sealed

LAST = "last.pt"
LOG = "log.csv"
_SHARES = ("batch_size", "processes")
"""Settings that say how processes share the images of a step."""
_UNSEALED, _VERSION = 1, 2


class TrainingError(RuntimeError):
    """Training stopped; the message says why, and what was kept."""


class DivergedError(TrainingError):
    """The loss is no longer finite."""


class TrainingFolder:
    """The state after the last epoch (``last.pt``, while a training runs), and ``log.csv``.

    ``last.pt`` is one file, so that weights, optimiser and history always belong together, and
    every file takes the place of the one before it at once: whenever the process dies, the folder
    holds the end of some epoch. ``last.pt`` ends with its SHA-256, which is checked when it is
    read; files of version 1 have none. Generators of random numbers have no state to keep: order,
    augmentation and dropout are functions of (seed, epoch, step).

    Args:
        given: The folder; made where it does not exist, when work begins.
        command: What is trained: ``teacher``, ``distill`` or ``supernet``.
        settings: All that the weights depend on, as plain values; a state with other settings is
            not continued.
        weights: Name of the file of the weights that are kept.
        leads: Whether this process writes.
        meter: What the training has cost before its folder is claimed.

    Attributes:
        path: The folder, see `tvtfast.common.run_folder.RunFolder`.

    Raises:
        OtherRunError: It holds another training.
        BusyError: Another process trains in it.
    """

    def __init__(
        self,
        given: str | os.PathLike[str],
        command: str,
        settings: Mapping[str, Any],
        *,
        weights: str,
        leads: bool = True,
        meter: Meter | None = None,
    ) -> None:
        self.settings, self._meter = dict(settings), meter
        longer = ("epochs",) if (Path(given) / LAST).exists() else ()
        self._identity = Identity(command, settings, growing=longer, moving=_SHARES)
        try:
            self._run = RunFolder(
                given,
                self._identity,
                holds=lambda path: (path / LAST).exists() or (path / weights).exists(),
                recorded=lambda path: _recorded(path, weights),
                leads=leads,
                draw=draw_live,
            )
        except OtherRunError as error:
            self._explain(Path(given), error)
            raise
        self.path = self._run.path

    def _explain(self, path: Path, error: OtherRunError) -> None:
        """Say it where more epochs are all that is other, and the state is gone."""
        record = read_record(path)
        longer = Identity(
            self._identity.command, self.settings, growing=("epochs",), moving=_SHARES
        )
        if record is None or self._identity.growing or longer.differences(record["settings"]):
            return
        epochs, wanted = record["settings"]["epochs"], self.settings["epochs"]
        raise OtherRunError(
            f"{path} holds a training of {epochs} epochs that has ended; its state ({LAST}) was "
            f"not kept, so it cannot go on to {wanted}; train with keep_state=True (--keep-state "
            "true) where that may be wanted, or choose another output folder"
        ) from error

    def ended(self, keeper: Keeper) -> list[dict[str, float]] | None:
        """The log of a training that has ended and kept no state.

        Raises:
            CheckpointError: The log is damaged.
        """
        path = self.path / LOG
        if (self.path / LAST).exists() or not path.exists() or not keeper.is_tested():
            return None
        advice = "it was damaged after it was written. Restore a copy, or remove the folder"
        with (
            reading(path, "the log of a training", advice=advice, error=CheckpointError),
            open(path, encoding="utf-8", newline="") as text,
        ):
            return [
                {name: _number(value) for name, value in row.items() if value != ""}
                for row in csv.DictReader(text, strict=True)
            ]

    def drop_state(self) -> None:
        """Remove the state of a training that has ended."""
        (self.path / LAST).unlink(missing_ok=True)

    @contextmanager
    def claimed(self) -> Iterator[RunRecord]:
        """Train: nobody else does, see `tvtfast.common.run_folder.RunFolder.claimed`."""
        with self._run.claimed() as record:
            if self._meter is not None:
                record.meter.begin_with(self._meter)
            yield record

    def load(self) -> dict[str, Any] | None:
        """The state to continue from, on the CPU; ``None`` at the beginning.

        Raises:
            CheckpointError: It is damaged.
            OtherRunError: It is of a training with other settings.
        """
        state = _read_state(self.path)
        if state is None:
            return None
        complete = "command" in state
        changes = self._identity.differences(_plain(state["settings"]), complete=complete)
        if changes:
            raise OtherRunError(
                f"{self.path / LAST} is of another training ({changes}); repeat its command to "
                "continue it, or choose another output folder"
            )
        return state

    def save(self, state: Mapping[str, Any], history: list[dict[str, float]]) -> None:
        """Write the state after an epoch and the log of all epochs.

        Raises:
            TrainingError: They cannot be written; those of the epoch before are still there.
        """
        identity = self._identity
        known = {"version": _VERSION, "command": identity.command, "settings": identity.settings}
        full = {**known, **state}
        with self.writing(state["epoch"] - 1):
            write_durably(self.path / LAST, lambda path: save_sealed(full, path))
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
            what, advice = f"cannot write to {self.path}: {error}", "Run"
            if isinstance(error, FullDiskError):
                what, advice = error.what, "Free some space and run"
            state = f"the state after epoch {kept} is" if kept else "nothing was"
            raise TrainingError(
                f"{what}; {state} kept. {advice} the same command again to continue"
            ) from error


def _read_state(folder: Path, *, mmap: bool = False) -> dict[str, Any] | None:
    path = folder / LAST
    if not path.exists():
        return None
    with reading(
        path,
        "the state of a training",
        advice="it was damaged after it was written. Remove it to train from the beginning, or "
        "restore a copy",
        error=CheckpointError,
    ):
        state, sealed = load_sealed(path, mmap=mmap)
        version, _ = state["version"], dict(state["settings"])
        if version not in (_UNSEALED, _VERSION):
            raise CheckpointError(
                f"{path} has version {version}; this tvtfast reads {_UNSEALED} and {_VERSION}"
            )
        if version == _VERSION and not sealed and not mmap:
            raise ValueError("the SHA-256 at its end is gone")
        return dict(state)


def _recorded(folder: Path, weights: str) -> Mapping[str, Any] | None:
    """Settings of a training of an earlier version, which kept no other record."""
    state = _read_state(folder, mmap=True)
    if state is not None:
        return _plain(state["settings"])
    if (folder / weights).exists():
        raise OtherRunError(
            f"{folder} holds {weights} of which no training is on record; choose another output "
            "folder"
        )
    return None


def _plain(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Settings as JSON knows them, which has no tuples."""
    plain: dict[str, Any] = json.loads(json.dumps(settings))
    return plain


def _number(text: str) -> float:
    """A cell as the number that was written."""
    return int(text) if text.lstrip("-").isdigit() else float(text)


def _csv(history: list[dict[str, float]]) -> str:
    lines = io.StringIO()
    names = list(dict.fromkeys(name for row in history for name in row))
    writer = csv.DictWriter(lines, fieldnames=names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    return lines.getvalue()
