"""Whose a run folder is, and who works on it: one place decides, for every command.

``run.json`` says what a folder holds: the settings of its run, its status, the process that works
on it and when that last gave a sign of life. The same run goes on in it; another run is refused,
and goes elsewhere where nobody named the folder; a run that another process works on is refused.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tvtfast.common.board import Board, Painter
from tvtfast.common.cost import Cost, Meter
from tvtfast.common.fallbacks import logger
from tvtfast.common.files import sweep, write_json
from tvtfast.common.forecast import outcome
from tvtfast.common.foreign import BadFileError, reading
from tvtfast.common.identity import Identity
from tvtfast.common.machine import machine, versions
from tvtfast.common.signals import work
from tvtfast.common.worker import HEARTBEAT, is_alive, now, seconds_since, this_process

RECORD = "run.json"
_FORMAT = "tvtfast run"

Recorded = Mapping[str, Any]
Draw = Callable[[Path, Recorded, dict[str, Any]], object]
"""Draws a run that works: its folder, its record, and what `Board.look` returns."""


class RunError(RuntimeError):
    """A run cannot begin or go on; the message says why, and what to do."""


class OtherRunError(RunError):
    """The folder holds another run."""


class BusyError(RunError):
    """Another process works on the folder."""


class CommandFolder(os.PathLike[str]):
    """Where a command writes.

    Args:
        path: The folder.
        named: Whether a user named it. A name that the command made gives way to one with a hash of
            the run where another run has it.
        configure: Writes the flags of the command into the folder.

    Attributes:
        chosen: The folder of the run, once that is decided.
    """

    def __init__(
        self, path: Path, *, named: bool, configure: Callable[[Path], None] | None = None
    ) -> None:
        self.path, self.named, self.configure = path, named, configure
        self.chosen = path

    def __fspath__(self) -> str:
        return str(self.path)


class RunFolder:
    """The folder of one run.

    Args:
        given: The folder; made where it does not exist, when work begins.
        identity: The run.
        holds: Whether a folder holds anything of a run that could be lost.
        recorded: Settings of the run in a folder without record, from an earlier version.
        leads: Whether this process speaks for all that work together.
        draw: Draws the run every few seconds while it works, and at its end.

    Attributes:
        path: Where the run is. That is ``given``, unless that is the name that a command made and
            another run has it.

    Raises:
        OtherRunError: The folder holds another run; the message names the differences.
        BusyError: Another process works on it.
        BadFileError: Its record is damaged.
    """

    def __init__(
        self,
        given: str | os.PathLike[str],
        identity: Identity,
        *,
        holds: Callable[[Path], bool],
        recorded: Callable[[Path], Recorded | None] | None = None,
        leads: bool = True,
        draw: Draw | None = None,
    ) -> None:
        self.identity = identity
        self._holds, self._recorded, self._leads = holds, recorded, leads
        self._draw = draw
        self._configure = given.configure if isinstance(given, CommandFolder) else None
        self.path = self._place(given)
        if isinstance(given, CommandFolder):
            given.chosen = self.path

    def _place(self, given: str | os.PathLike[str]) -> Path:
        path = Path(given)
        if isinstance(given, CommandFolder) and not given.named:
            own = path.with_name(f"{path.name}-{self.identity.short}")
            changes = "" if own.exists() else self._differences(path)
            if changes and self._leads:
                logger.warning("%s holds another run (%s); this one is in %s", path, changes, own)
            if changes or own.exists():
                path = own
        self._check(path)
        return path

    def _check(self, path: Path) -> Recorded | None:
        """The record of this run in a folder, if there is one."""
        changes = self._differences(path)
        if changes:
            raise OtherRunError(
                f"{path} holds another run ({changes}); repeat its command to continue it, or "
                "choose another output folder"
            )
        record = read_record(path)
        if record is not None and self._leads and is_busy(record):
            raise BusyError(_busy(path, record))
        return record

    def _differences(self, path: Path) -> str:
        """Why a folder is that of another run; empty where it is not."""
        record = read_record(path)
        if record is None:
            found = None if self._recorded is None else self._recorded(path)
            return "" if found is None else self.identity.differences(found, complete=False)
        command = record.get("command", self.identity.command)
        if command != self.identity.command:
            return f"command was {command!r}, now {self.identity.command!r}"
        if not is_busy(record) and not self._holds(path):
            return ""
        return self.identity.differences(record["settings"], complete="command" in record)

    @contextmanager
    def claimed(self) -> Iterator[RunRecord]:
        """Work on the folder: nobody else does, and its record says so until the end.

        Raises:
            OtherRunError: Another run was faster.
            BusyError: Another process of the same run was.
            OSError: The folder cannot be written.
        """
        if not self._leads:
            yield RunRecord(self.path, self.identity)
            return
        self.path.mkdir(parents=True, exist_ok=True)
        with work():
            with _alone(self.path):
                before = self._check(self.path)
                record = RunRecord(self.path, self.identity, before)
                record.write("running")
            painter = Painter(record.board, self._painted(record))
            try:
                with _beating(record), record.board.listening(), painter:
                    self._tell(before)
                    sweep(self.path)
                    if self._configure is not None:
                        self._configure(self.path)
                    yield record
                record.write("finished")
            except BaseException as error:
                record.failed(error)
                raise
            finally:
                painter.finish()

    def _painted(self, record: RunRecord) -> Callable[[dict[str, Any]], object] | None:
        draw = self._draw
        return None if draw is None else lambda shown: draw(self.path, record.content, shown)

    def _tell(self, before: Recorded | None) -> None:
        """Say what is not as usual about a run that goes on."""
        if before is None:
            found = None if self._recorded is None else self._recorded(self.path)
        else:
            found = before["settings"]
        if found is None:
            return
        if before is not None and before.get("status") == "running":
            logger.warning(
                "the run before in %s stopped without a word%s; continuing",
                self.path,
                f" after {before['heartbeat']}" if "heartbeat" in before else "",
            )
        if before is None or "command" not in before:
            missing = ", ".join(self.identity.unrecorded(found))
            logger.warning(
                "%s was begun by an earlier version, which did not record %s; all that it did "
                "record is equal, continuing",
                self.path,
                missing or "who works on it",
            )
        moved = self.identity.moved(found)
        if moved:
            logger.warning(
                "%s: %s; what was computed is used again, and the results are replaced",
                self.path,
                moved,
            )


class RunRecord:
    """What ``run.json`` says of a run that this process works on.

    Args:
        folder: Of the run.
        identity: The run.
        before: Its record when it was last worked on.

    Attributes:
        results: Plain values that are in the record of a finished run.
        meter: What the run costs, over all its starts; the record has it under ``cost``.
        candidates: How many it compares, where that is what it does.
        epochs: Of its longest training, where its settings have none of their own.
        board: What there is to see of the run while it works.
        content: What was written last.
    """

    def __init__(self, folder: Path, identity: Identity, before: Recorded | None = None) -> None:
        self.path = folder / RECORD
        self.results: dict[str, Any] = {}
        self.meter = Meter(cost_of(before))
        self.candidates: int | None = None
        self.epochs: int | None = None
        self.board = Board()
        self.content: Recorded = {}
        self._lock = threading.Lock()
        self._run: dict[str, Any] = {
            "format": _FORMAT,
            "command": identity.command,
            "settings": identity.settings,
            "process": this_process(),
            "started": now(),
            "versions": versions(),
            "machine": machine(),
        }

    def write(self, status: str, **more: Any) -> None:
        """Replace the record at once."""
        results = self.results if status == "finished" else {}
        cost = self.meter.read()
        spent = cost.to_dict(self.candidates)
        known = {**self._run, "status": status, "heartbeat": now(), "cost": spent}
        said = self._forecast(cost) if status == "finished" else None
        forecast = {} if said is None else {"forecast": said}
        self.content = {**known, **forecast, **results, **more}
        with self._lock:
            write_json(self.path, self.content)

    def _forecast(self, cost: Cost) -> Mapping[str, Any] | None:
        """What was forecast of this run, beside what it took."""
        count = self.candidates or self.epochs or self._run["settings"].get("epochs")
        if count is None:
            return None
        return outcome(self.path.parent, self._run["command"], count, cost)

    def failed(self, error: BaseException) -> None:
        """The run was stopped by ``error``, which is what is told, whatever becomes of the
        record."""
        status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        with suppress(OSError):
            self.write(status, error=repr(error))

    def beat(self) -> bool:
        """Give a sign of life, unless another process has the folder now."""
        found = read_record(self.path.parent)
        if found is not None and found.get("process") != self._run["process"]:
            logger.warning(
                "another process works on %s now, since this one was taken for dead; both end with "
                "equal results",
                self.path.parent,
            )
            return False
        self.write("running")
        return True


def read_record(folder: Path) -> Recorded | None:
    """The record in a folder; ``None`` where there is none.

    Raises:
        RunError: The file is something else.
        BadFileError: It is damaged.
    """
    path = folder / RECORD
    if not path.is_file():
        return None
    with reading(path, "the record of a run", advice="it is damaged, remove it"):
        found = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(found, dict) or not isinstance(found.get("settings"), dict):
        raise RunError(f"{path} is not the record of a run; choose another folder for its output")
    return found


def cost_of(record: Recorded | None) -> Cost:
    """What a run has cost; nothing where there is no record, or one of a version without."""
    return Cost.of(None if record is None else record.get("cost"))


def is_busy(record: Recorded) -> bool:
    """Whether a process works on the folder of a record."""
    if record.get("status") != "running":
        return False
    return is_alive(record.get("process"), record.get("heartbeat"))


def is_abandoned(folder: Path) -> bool:
    """Whether the process that worked on a folder died at it."""
    try:
        record = read_record(folder)
    except (RunError, BadFileError):
        return False
    return record is not None and record.get("status") == "running" and not is_busy(record)


def _busy(folder: Path, record: Recorded) -> str:
    process = record["process"]
    silent = seconds_since(record.get("heartbeat"))
    seen = "" if silent is None else f", last seen {max(0, round(silent))} s ago"
    return (
        f"process {process['pid']} on {process['host']} works on {folder} (since "
        f"{record.get('started')}{seen}); wait until it ends, stop it with 'kill {process['pid']}' "
        "there, or choose another output folder"
    )


@contextmanager
def _beating(record: RunRecord) -> Iterator[None]:
    """Signs of life from a thread that ends with the block."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(HEARTBEAT):
            with suppress(OSError, ValueError, RunError):
                if not record.beat():
                    return

    thread = threading.Thread(target=beat, name="tvtfast-heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes of this machine, and of others where the file system can, from looking
    at the record between a look at it and its change."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
