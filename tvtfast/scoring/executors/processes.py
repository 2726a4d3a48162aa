"""Workers that are processes of this machine."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import connection, resource_tracker, util
from multiprocessing.process import BaseProcess
from typing import Any

from tvtfast.common import checks
from tvtfast.scoring.executors.base import (
    Begun,
    Context,
    Ended,
    Event,
    Executor,
    Raised,
    Returned,
    Worker,
)
from tvtfast.scoring.executors.parcel import unpack_error
from tvtfast.scoring.executors.service import serve

_FIRST = 1
"""Multiprocessing ends what has a priority before it waits for its processes."""


class Processes(Executor):
    """Workers that are processes of this machine, started afresh (`spawn`).

    They end with the process that made them, whatever ends that. A worker computes with
    ``threads`` threads whatever the number of workers, since the last bits of some sums depend on
    it.

    Args:
        workers: How many.
        threads: Of each.

    Raises:
        ValueError: A number below 1.
    """

    def __init__(self, workers: int, threads: int = 1) -> None:
        super().__init__(checks.whole("workers", workers, least=1))
        self.threads = checks.whole("threads", threads, least=1)
        self._finalizer = util.Finalize(self, _end_all, (self._crew,), exitpriority=_FIRST)

    def start(self) -> Worker:
        return _Process(self.threads)

    def events(self, workers: Sequence[Worker]) -> list[tuple[Worker, Event]]:
        of = {worker.connection: worker for worker in workers if isinstance(worker, _Process)}
        ready = connection.wait(list(of))
        return [(worker, worker.event()) for one, worker in of.items() if one in ready]

    def __reduce__(self) -> tuple[Any, ...]:
        return Processes, (self.workers, self.threads)


class _Process:
    def __init__(self, threads: int) -> None:
        self.connection, theirs = multiprocessing.Pipe()
        self._context: Context | None = None
        self._begun = False
        spawn = multiprocessing.get_context("spawn")
        self._process: BaseProcess = spawn.Process(
            target=serve, args=(theirs, threads), name="tvtfast worker"
        )
        with _undisturbed():
            self._process.start()
        theirs.close()

    def give(self, context: Context, unit: bytes) -> None:
        packed = None if self._context is context else context.packed
        self._context = context
        with suppress(OSError):  # it has ended, as its connection will say
            self.connection.send((packed, unit))

    def event(self) -> Event:
        """What it says; only when it has something to say."""
        try:
            said = self.connection.recv()
        except (EOFError, OSError):
            self._process.join()
            self.connection.close()
            return Ended(_how(self._process.exitcode))
        if not self._begun:
            self._begun = True
            return Begun(said)
        returned, packed = said
        return Returned(packed) if returned else Raised(unpack_error(packed))

    def end(self) -> None:
        self._process.kill()
        self._process.join()
        self.connection.close()


def _end_all(crew: list[Worker]) -> None:
    while crew:
        crew.pop().end()


def _how(status: int | None) -> str:
    if status is not None and status < 0:
        return f"its process was ended by {signal.Signals(-status).name}"
    return f"its process ended with status {status}"


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Processes that begin meanwhile hear no Ctrl-C, which is meant for this one."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # its own start would end the block
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
