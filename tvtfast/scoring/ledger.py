"""Which scores of a population are known, and which are still to be computed."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from tvtfast.common.fallbacks import Fallback, fall_back
from tvtfast.proxies import Proxy
from tvtfast.scoring.candidates import Candidate
from tvtfast.scoring.cells import Cell, score_key
from tvtfast.scoring.store import ScoreStore

Task = tuple[int, Proxy, int]
"""Row of a candidate, proxy, seed of the weights."""


class Ledger:
    """The cells of one population; every new one goes to the store at once.

    Args:
        population: The candidates.
        proxies: What they are scored with.
        seeds_of: Weight draws that a proxy is averaged over.
        fields: What determines a cell, as the store wants it; ``None`` where it cannot be stored.
        store: Where known scores come from and new ones go to.

    Attributes:
        fallbacks: Fast paths that were left on the way.
    """

    def __init__(
        self,
        population: Sequence[Candidate],
        proxies: Sequence[Proxy],
        seeds_of: Callable[[Proxy], Sequence[int]],
        fields: Callable[[Candidate, Proxy, int], Mapping[str, Any] | None],
        store: ScoreStore,
    ) -> None:
        self.population = population
        self.on_done: Callable[[int], object] = lambda count: None
        self.fallbacks: list[Fallback] = []
        self._proxies, self._seeds_of, self._store = proxies, seeds_of, store
        self._fields: dict[Hashable, Mapping[str, Any]] = {}
        self._keys: dict[tuple[int, str, int], Hashable] = {}
        for row, candidate in enumerate(population):
            for proxy in proxies:
                for seed in seeds_of(proxy):
                    key: Hashable = (row, proxy.name, seed)
                    entry = fields(candidate, proxy, seed)
                    if entry is not None:
                        key = score_key(entry)
                        self._fields[key] = entry
                    self._keys[row, proxy.name, seed] = key
        self._cells: dict[Hashable, Cell] = {}
        self._cells.update(store.get(map(str, self._fields)).items())
        self._open = [0] * len(population)
        self._waiting: dict[Hashable, list[int]] = {}
        for (row, _, _), key in self._keys.items():
            if key not in self._cells:
                self._open[row] += 1
                self._waiting.setdefault(key, []).append(row)

    @property
    def unfinished(self) -> int:
        """Candidates with a score that is not known."""
        return sum(count > 0 for count in self._open)

    def missing(self, rows: Iterable[int] | None = None) -> Iterator[Task]:
        """What is to be computed, candidate by candidate; what is entered meanwhile is left out.

        Args:
            rows: Candidates; default all.
        """
        for row in range(len(self.population)) if rows is None else rows:
            if self._open[row]:
                for proxy in self._proxies:
                    for seed in self._seeds_of(proxy):
                        if self._keys[row, proxy.name, seed] not in self._cells:
                            yield row, proxy, seed

    def put(self, done: Iterable[tuple[Task, Cell]]) -> None:
        """Enter scores, and store them, estimates apart. A score that is known already stays."""
        entries = []
        for (row, proxy, seed), cell in done:
            key = self._keys[row, proxy.name, seed]
            if key in self._cells:
                continue
            self._cells[key] = cell
            for waiting in self._waiting.pop(key):
                self._open[waiting] -= 1
                if not self._open[waiting]:
                    self.on_done(1)
            if key in self._fields and cell.status != "partial":
                entries.append((self._fields[key], cell))
        self._store.put(entries)

    def note(self, what: str, cost: str, error: Exception) -> None:
        """Warn that a fast path is left, once per kind of work in this population.

        Raises:
            FallbackError: ``TVTFAST_STRICT`` is ``1``.
        """
        if what not in [fallback.what for fallback in self.fallbacks]:
            self.fallbacks.append(fall_back(what, cost, error))

    def key(self, row: int, proxy: Proxy, seed: int) -> str | None:
        """What one score is stored under; ``None`` where it is not."""
        key = self._keys[row, proxy.name, seed]
        return str(key) if key in self._fields else None

    def cells(self, row: int, proxy: Proxy) -> list[Cell]:
        """Scores of one candidate with one proxy, one per weight draw."""
        return [self._cells[self._keys[row, proxy.name, seed]] for seed in self._seeds_of(proxy)]


def value_cell(value: float, seconds: float) -> Cell:
    """The cell of a value; one that is not a finite number is none."""
    if math.isfinite(value):
        return Cell(value, seconds=seconds)
    return Cell(math.nan, "nan", f"the score is {value}", seconds)
