"""What runs units of work, and what becomes of a unit whose worker ends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from typing import Any, NamedTuple, Protocol, TypeAlias

from tvtfast.scoring.executors.parcel import ExecutorError, pack, unpack, versions

_TRIES = 2
"""Workers that a unit may end before it counts as lost."""


class Unit(Protocol):
    """A piece of work that can be pickled and run anywhere."""

    def run(self, context: Any, /) -> Any:
        """Do it.

        Args:
            context: What all units share; each worker is given it once.
        """


class Outcome(NamedTuple):
    """What became of a unit.

    Args:
        unit: Its place among those that were given.
        result: What it returned; ``None`` where it is lost.
        lost: How its second worker ended, where it ended two; else empty.
    """

    unit: int
    result: Any
    lost: str = ""


class Begun(NamedTuple):
    """A worker can be given units.

    Args:
        versions: Of what its results depend on.
    """

    versions: Mapping[str, str]


class Returned(NamedTuple):
    """A worker has done its unit.

    Args:
        result: What it returned, packed.
    """

    result: bytes


class Raised(NamedTuple):
    """A unit raised an exception, which ends the whole work.

    Args:
        error: The exception.
    """

    error: Exception


class Ended(NamedTuple):
    """A worker is no more.

    Args:
        how: In words.
    """

    how: str


Event: TypeAlias = Begun | Returned | Raised | Ended


class Context:
    """What all units of some calls share, packed when it is first sent.

    Args:
        value: That.
    """

    def __init__(self, value: Any) -> None:
        self.value = value
        self._packed: bytes | None = None

    @property
    def packed(self) -> bytes:
        if self._packed is None:
            self._packed = pack(self.value)
        return self._packed


class Worker(Protocol):
    """Somebody who runs one unit at a time."""

    def give(self, context: Context, unit: bytes) -> None:
        """Hand a unit over, and its context where the last unit had another one."""

    def end(self) -> None:
        """End it at once, whatever it is at."""


class Executor(ABC):
    """Runs units on several workers, which live until it is closed; a context manager.

    A worker that ends is replaced, and its unit is run once more; a unit that ends its second
    worker, too, is lost. Who runs a unit depends on who is idle, so no result may depend on it.

    Args:
        workers: How many work at the same time.

    Attributes:
        workers: That.
        threads: Of PyTorch in each.
    """

    threads: int = 1

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._crew: list[Worker] = []
        self._context = Context(None)

    @abstractmethod
    def start(self) -> Worker:
        """Begin a worker; its first event is `Begun`."""

    @abstractmethod
    def events(self, workers: Sequence[Worker]) -> list[tuple[Worker, Event]]:
        """Wait until one of some workers has something to say, and what they say."""

    def run(self, context: Any, units: Sequence[Unit]) -> Generator[Outcome, None, None]:
        """Run units, the first ones first. Who stops early closes the iterator.

        Args:
            context: What all of them share. The same object is not sent twice to a worker.
            units: Largest first, so that none begins late.

        Yields:
            The outcome of every unit, in the order they are ready.

        Raises:
            ExecutorError: No worker begins, or something cannot be pickled.
            Exception: What a unit raised.
        """
        with closing(self.batches(context, units)) as batches:
            for outcomes in batches:
                yield from outcomes

    def batches(self, context: Any, units: Sequence[Unit]) -> Generator[list[Outcome], None, None]:
        """`run`, where outcomes that are ready at the same time come together: there are the more
        of them, the longer the last took."""
        if self._context.value is not context:
            self._context = Context(context)
        shift = _Shift(self, self._crew, self._context, units)
        try:
            shift.hand_out()
            while shift.unfinished:
                outcomes = shift.listen()
                if shift.error is None:
                    shift.hand_out()  # nobody waits until outcomes are seen to
                if outcomes:
                    yield outcomes
                if shift.error is not None:
                    raise shift.error
        finally:
            shift.end()

    def close(self) -> None:
        """End all workers."""
        while self._crew:
            self._crew.pop().end()

    def __enter__(self) -> Executor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Shift:
    """One call of `Executor.run`.

    Args:
        executor: Begins workers, and listens to them.
        crew: Its workers, all idle; those that begin or end are entered.
        context: Of the units.
        units: What is to be run.

    Attributes:
        error: What a unit has raised.
    """

    def __init__(
        self, executor: Executor, crew: list[Worker], context: Context, units: Sequence[Unit]
    ) -> None:
        self._executor, self._crew, self._context, self._units = executor, crew, context, units
        self._waiting = deque(range(len(units)))
        self._tries: Counter[int] = Counter()
        self._idle, self._starting = list(crew), list[Worker]()
        self._busy: dict[Worker, int] = {}
        self._failed_starts = 0
        self.error: Exception | None = None

    @property
    def unfinished(self) -> bool:
        """Whether a unit has no outcome."""
        return bool(self._waiting or self._busy)

    def hand_out(self) -> None:
        """Give units to idle workers, and begin as many further ones as there is work for."""
        while self._idle and self._waiting:
            worker, number = self._idle.pop(), self._waiting.popleft()
            self._busy[worker] = number
            worker.give(self._context, pack(self._units[number]))
        room = self._executor.workers - len(self._crew)
        for _ in range(min(room, len(self._waiting) - len(self._starting))):
            worker = self._executor.start()
            self._starting.append(worker)
            self._crew.append(worker)

    def listen(self) -> list[Outcome]:
        """Wait for workers."""
        outcomes = []
        for worker, event in self._executor.events([*self._busy, *self._starting]):
            match event:
                case Begun(found):
                    _check_versions(found)
                    self._starting.remove(worker)
                    self._idle.append(worker)
                    self._failed_starts = 0
                case Returned(result):
                    outcomes.append(Outcome(self._busy.pop(worker), unpack(result)))
                    self._idle.append(worker)
                case Raised(error):
                    self.error = self.error or error
                case Ended(how):
                    self._crew.remove(worker)
                    outcomes += self._lost(worker, how)
        return outcomes

    def end(self) -> None:
        """End the workers that are at something."""
        for worker in (*self._busy, *self._starting):
            self._crew.remove(worker)
            worker.end()
        self._busy.clear()
        self._starting.clear()

    def _lost(self, worker: Worker, how: str) -> list[Outcome]:
        if worker in self._starting:
            self._starting.remove(worker)
            self._failed_starts += 1
            if self._failed_starts > self._executor.workers:
                raise ExecutorError(
                    f"workers end before they begin: {how}. A program that is a file of its own "
                    'begins its work behind if __name__ == "__main__":, since workers import it'
                )
            return []
        number = self._busy.pop(worker)
        self._tries[number] += 1
        if self._tries[number] < _TRIES:
            self._waiting.appendleft(number)
            return []
        return [Outcome(number, None, how)]


def _check_versions(found: Mapping[str, str]) -> None:
    """Refuse a worker whose results may differ from those of this process."""
    own = versions()
    differ = [f"{name} {found.get(name)}" for name in own if found.get(name) != own[name]]
    if differ:
        raise ExecutorError(
            f"a worker has {', '.join(differ)}, and this process "
            f"{', '.join(f'{name} {version}' for name, version in own.items())}; install the same "
            "versions on every machine"
        )
