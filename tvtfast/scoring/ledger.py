"""Which scores of a population are known, and which are still to be computed."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from tvtfast.common.fallbacks import Fallback, fall_back, repeat
from tvtfast.proxies import Proxy
from tvtfast.scoring.candidates import Candidate
from tvtfast.scoring.cells import Cell, Entry, value_of
from tvtfast.scoring.race import Array, Rung
from tvtfast.scoring.store import ScoreStore

Task = tuple[int, Proxy, int]
"""Row of a candidate, proxy, seed of the weights."""

DEFERRED = Cell(math.nan, "deferred")
"""The place of a score that is computed when somebody looks at it; no status of a table."""


@dataclass
class _Column:
    """The scores of one proxy with one weight draw.

    Args:
        proxy: The proxy.
        seed: Seed of the weights.
        before: What is in front of the candidate in the text that a score is stored under.
        after: What is behind it.
        keys: Of the first of equal candidates, by row; ``None`` where a score cannot be stored.
        cells: Of the first of equal candidates, by row; a number is a cell with status ``ok``.
        seconds: What a cell that is a number took; NaN where that is not known.
    """

    proxy: Proxy
    seed: int
    before: str
    after: str
    keys: list[str | None]
    cells: list[Cell | float | None]
    seconds: float = math.nan


class RunningRace(Protocol):
    """What there is to see of a race: see `tvtfast.scoring.race_population.ImageScores`."""

    rungs: list[Rung]
    alive: Sequence[int]
    proxies: Sequence[Proxy]

    def so_far(self, name: str) -> Array: ...


class Ledger:
    """The cells of one population; every new one goes to the store at once.

    Args:
        population: The candidates.
        proxies: What they are scored with.
        seeds_of: Weight draws that a proxy is averaged over.
        around: The text around a candidate that all scores of a proxy and a weight draw are stored
            under, see `tvtfast.scoring.identity.around_candidate`.
        store: Where known scores come from and new ones go to.
        deferred: Names of proxies that are not computed for candidates without an identity.

    Attributes:
        fallbacks: Fast paths that were left on the way.
        race: What a race has found up to now, where there is one.
    """

    def __init__(
        self,
        population: Sequence[Candidate],
        proxies: Sequence[Proxy],
        seeds_of: Callable[[Proxy], Sequence[int]],
        around: Callable[[Proxy, int], tuple[str, str]],
        store: ScoreStore,
        deferred: Collection[str] = (),
    ) -> None:
        self.population = population
        self.on_done: Callable[[int], object] = lambda count: None
        self.fallbacks: list[Fallback] = []
        self.race: RunningRace | None = None
        self.seeds_of, self._store = seeds_of, store
        self._texts = [candidate.identity for candidate in population]
        first: dict[str, int] = {}
        self._first = [
            row if text is None else first.setdefault(text, row)
            for row, text in enumerate(self._texts)
        ]
        self._equal = [0] * len(population)
        for row in self._first:
            self._equal[row] += 1
        self._columns = {
            (proxy.name, seed): self._column(
                proxy, seed, *around(proxy, seed), first.values(), proxy.name in deferred
            )
            for proxy in proxies
            for seed in seeds_of(proxy)
        }
        self._find_known()

    def _column(
        self,
        proxy: Proxy,
        seed: int,
        before: str,
        after: str,
        stored: Iterable[int],
        deferred: bool,
    ) -> _Column:
        keys: list[str | None] = [None] * len(self.population)
        start, end = hashlib.sha256(before.encode()), after.encode()
        for row in stored:
            text = self._texts[row]
            assert text is not None
            hashed = start.copy()
            hashed.update(text.encode() + end)
            keys[row] = hashed.hexdigest()
        cells: list[Cell | float | None] = [
            DEFERRED if deferred and text is None else None for text in self._texts
        ]
        return _Column(proxy, seed, before, after, keys, cells)

    def _find_known(self) -> None:
        columns = self._columns.values()
        known = self._store.known(key for column in columns for key in column.keys if key)
        self._open = [0] * len(self.population)
        for column in columns:
            if known:
                column.cells = [
                    cell if key is None else known.get(key)
                    for key, cell in zip(column.keys, column.cells, strict=True)
                ]
            for row, cell in enumerate(column.cells):
                if cell is None and self._first[row] == row:
                    self._open[row] += 1

    @property
    def unfinished(self) -> int:
        """Candidates with a score that is not known."""
        pairs = zip(self._open, self._equal, strict=True)
        return sum(equal for count, equal in pairs if count)

    def missing(self, rows: Iterable[int] | None = None) -> Iterator[Task]:
        """What is to be computed, candidate by candidate; what is entered meanwhile is left out.

        Args:
            rows: Candidates; default all.
        """
        columns = self._columns.values()
        for row in range(len(self._first)) if rows is None else rows:
            first = self._first[row]
            if self._open[first]:
                for column in columns:
                    if column.cells[first] is None:
                        yield row, column.proxy, column.seed

    def open_rows(self) -> list[int]:
        """Candidates with a score that is not known; of equal ones the first."""
        return [row for row, count in enumerate(self._open) if count]

    def open_columns(self) -> list[tuple[Proxy, int, frozenset[int]]]:
        """What is to be computed, by proxy and weight draw: some of `open_rows`."""
        rows = self.open_rows()
        found = []
        for column in self._columns.values():
            cells = column.cells
            missing = frozenset(row for row in rows if cells[row] is None)
            if missing:
                found.append((column.proxy, column.seed, missing))
        return found

    def missing_rows(self, proxy: Proxy, seed: int) -> list[int]:
        """Candidates whose score with one proxy and one weight draw is to be computed."""
        cells = self._columns[proxy.name, seed].cells
        return [row for row, first in enumerate(self._first) if cells[first] is None]

    def put(self, done: Iterable[tuple[Task, Cell]]) -> None:
        """Enter scores, and store them, estimates apart. A score that is known already stays."""
        self._store.put(self._entered(done))

    def put_values(
        self, proxy: Proxy, seed: int, rows: Sequence[int], values: Sequence[float], seconds: float
    ) -> None:
        """`put` of scores of one proxy and one weight draw that are all finite.

        Args:
            proxy: The proxy.
            seed: Of the weights.
            rows: Candidates.
            values: Their scores.
            seconds: What each took.
        """
        column = self._columns[proxy.name, seed]
        column.seconds = seconds
        around = column.before, column.after
        self._store.put_values(around, self._entered_values(column, rows, values), seconds)

    def _entered(self, done: Iterable[tuple[Task, Cell]]) -> Iterator[tuple[Entry, Cell]]:
        """Enter scores; those that are to be stored, with what they are stored under."""
        for (row, proxy, seed), cell in done:
            column, first = self._columns[proxy.name, seed], self._first[row]
            if column.cells[first] is None:
                column.cells[first] = cell
                self._close(first)
                key = column.keys[first]
                text = self._texts[first]
                if key is not None and text is not None and cell.status != "partial":
                    yield Entry(key, (column.before, column.after), text), cell

    def _entered_values(
        self, column: _Column, rows: Sequence[int], values: Sequence[float]
    ) -> Iterator[tuple[str, str, float]]:
        cells, keys = column.cells, column.keys
        for row, value in zip(rows, values, strict=True):
            first = self._first[row]
            if cells[first] is None:
                cells[first] = value
                self._close(first)
                key, text = keys[first], self._texts[first]
                if key is not None and text is not None:
                    yield key, text, value

    def _close(self, first: int) -> None:
        self._open[first] -= 1
        if not self._open[first]:
            self.on_done(self._equal[first])

    def note(self, what: str, cost: str, error: Exception) -> None:
        """Warn that a fast path is left, once per kind of work in this population.

        Raises:
            FallbackError: ``TVTFAST_STRICT`` is ``1``.
        """
        if what not in [fallback.what for fallback in self.fallbacks]:
            self.fallbacks.append(fall_back(what, cost, error))

    def repeat(self, fallback: Fallback) -> None:
        """Warn of a fast path that was left in another process, as `note` does."""
        if fallback.what not in [known.what for known in self.fallbacks]:
            self.fallbacks.append(repeat(fallback))

    def key(self, row: int, proxy: Proxy, seed: int) -> str | None:
        """What one score is stored under; ``None`` where it is not."""
        return self._columns[proxy.name, seed].keys[self._first[row]]

    def cells(self, proxy: Proxy) -> list[list[Cell | float]]:
        """All scores with one proxy, all known: per weight draw one of every candidate. A number is
        a cell with status ``ok``."""
        found = []
        for seed in self.seeds_of(proxy):
            cells = self._columns[proxy.name, seed].cells
            found.append([cell for first in self._first if (cell := cells[first]) is not None])
        return found

    def values_so_far(self, name: str) -> list[float]:
        """Scores with one proxy, means over weight draws; NaN where one is not known yet.

        It may be asked from another thread while scores are entered.
        """
        draws = [column.cells for (proxy, _), column in self._columns.items() if proxy == name]
        found = []
        for first in self._first:
            cells = [cells[first] for cells in draws]
            values = [value_of(cell) for cell in cells if cell is not None]
            found.append(sum(values) / len(draws) if len(values) == len(draws) else math.nan)
        return found

    def seconds_of_values(self, proxy: Proxy) -> list[float]:
        """What cells took that are numbers, per weight draw; NaN where that is not known."""
        return [self._columns[proxy.name, seed].seconds for seed in self.seeds_of(proxy)]


def value_cell(value: float, seconds: float) -> Cell:
    """The cell of a value; one that is not a finite number is none."""
    if math.isfinite(value):
        return Cell(value, "ok", "", seconds)
    return Cell(math.nan, "nan", f"the score is {value}", seconds)
