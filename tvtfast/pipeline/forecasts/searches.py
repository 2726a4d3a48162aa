"""What a search will take."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tvtfast.common.forecast import Forecast, Part
from tvtfast.common.run_folder import cost_of, read_record
from tvtfast.pipeline.forecasts.measuring import LEAST_DOUBT, load, size_of, small_run
from tvtfast.searching import SearchResult
from tvtfast.spaces import InfeasibleError

Search = Callable[[int, Path], SearchResult]
"""The search with another number of trials, in another folder."""

_FIRST = 8
_RACED = 48
"""Candidates that a race is held among, as it is from 40 on."""
_MOST = 0.5
"""Share of the trials that a small run may have."""


def forecast_search(search: Search, trials: int, *, seconds: float, raced: bool) -> Forecast:
    """Search twice, with few and with more candidates, and extrapolate every part by a line.

    Candidates that begin alike are computed once, and a race of many shows most of them fewer
    images, so a candidate of a large search costs less than the line says where both happen.

    Args:
        search: The search.
        trials: Of the whole search.
        seconds: What the second small search may take, about.
        raced: Whether candidates are raced.
    """
    first = min(_RACED if raced else _FIRST, max(2, trials // 4))
    with small_run() as folder:
        low = _run(search, first, folder / "first")
        each = max(low.seconds["scoring"] / first, 1e-6)
        second = int(min(max(2 * first, first + seconds / each), max(first + 1, trials * _MOST)))
        high = _run(search, second, folder / "second")
        steps = second - first
        parts = []
        for name, taken in high.seconds.items():
            before = low.seconds.get(name, 0.0)
            grown = max(0.0, (taken - before) / steps) if name in _GROWING else 0.0
            if name == "scoring" and not grown:
                grown = taken / second
            # the first of a process imports what it needs, as the whole search will
            fixed = max(0.0, taken - grown * second, before - grown * first)
            parts.append(Part(name, fixed, grown, shared=name == "scoring"))
        disk = high.disk + (high.disk - low.disk) / steps * (trials - second)
    at_first, at_second = low.seconds["scoring"] / first, high.seconds["scoring"] / second
    spread = max(LEAST_DOUBT, abs(at_second / at_first - 1) / 2)
    return Forecast(
        command="search",
        unit="candidates",
        count=trials,
        parts=tuple(parts),
        low=1 / (1 + spread),
        high=1 + spread,
        memory=high.memory,
        disk=round(disk),
        basis=f"searches of {first} and {second} candidates were run {load()}",
    )


_GROWING = ("proposing", "scoring", "ranking", "report")


class _Measured:
    """What one small search took."""

    def __init__(self, result: SearchResult, folder: Path, seconds: float) -> None:
        self.seconds: dict[str, float] = dict(result.timings)
        self.seconds["the rest"] = max(0.0, seconds - sum(self.seconds.values()))
        self.memory = cost_of(read_record(folder)).host_memory
        self.disk = size_of(folder)


def _run(search: Search, trials: int, folder: Path) -> _Measured:
    started = time.perf_counter()
    try:
        result: Any = search(trials, folder)
    except InfeasibleError as error:
        raise InfeasibleError(f"{error} (among {trials} candidates of a small run)") from error
    return _Measured(result, folder, time.perf_counter() - started)
