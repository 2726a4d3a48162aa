"""What a search will take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tvtfast.common.forecast import Forecast, Part
from tvtfast.common.run_folder import read_record
from tvtfast.pipeline.forecasts.measuring import Small, cores, interval, load, small_run
from tvtfast.spaces import InfeasibleError

Search = Callable[[int, Path], object]
"""The search with another number of trials, in another folder."""

SCORING = "scoring"
REST = "the rest"
_GROWING = ("proposing", SCORING, "ranking", "report")
"""Parts that take longer with more candidates."""
_FIRST = 8
_RACED = 48
"""Candidates that a race is held among, as it is from 40 on."""
_MOST = 0.5
"""Share of the trials that a small run may have."""


@dataclass(frozen=True)
class SmallSearch:
    """What one small search took.

    Args:
        trials: Its candidates.
        seconds: By part.
        processor: Processor seconds by part.
        small: What its record says.
    """

    trials: int
    seconds: Mapping[str, float]
    processor: Mapping[str, float]
    small: Small

    @classmethod
    def of(cls, folder: Path, trials: int) -> SmallSearch:
        """Of the search in a folder."""
        small = Small.of(folder)
        record = read_record(folder) or {}
        seconds, processor = record["seconds"], record["processor_seconds"]
        rest = max(0.0, small.cost.wall_seconds - sum(seconds.values()))
        idle = max(0.0, small.cost.processor_seconds - sum(processor.values()))
        return cls(trials, {**seconds, REST: rest}, {**processor, REST: idle}, small)

    @property
    def each(self) -> float:
        """Seconds that scoring one candidate took."""
        return max(self.seconds[SCORING] / self.trials, 1e-6)

    def next_trials(self, seconds: float, trials: int) -> int:
        """Candidates of a second small search, which may score for so many seconds more; ``trials``
        is what the whole search has."""
        more = max(2 * self.trials, self.trials + seconds / self.each)
        return int(min(more, max(self.trials + 1, trials * _MOST)))


def first_trials(trials: int, *, least: int) -> int:
    """Candidates of the first small search of a search of ``trials``."""
    return min(least, max(2, trials // 4))


def least_trials(*, raced: bool, population: int) -> int:
    """Candidates from which on a small search is like a large one: where a race is held, and where
    a strategy of several populations has had two."""
    return max(_RACED if raced else _FIRST, 2 * population)


def search_parts(low: SmallSearch, high: SmallSearch) -> tuple[Part, ...]:
    """Every part as a line through two small searches.

    What is fixed is the larger of both: the first search of a process imports what it needs, as the
    whole search will.
    """
    steps = max(1, high.trials - low.trials)
    parts = []
    for name, taken in high.seconds.items():
        before = low.seconds.get(name, 0.0)
        grown = max(0.0, (taken - before) / steps) if name in _GROWING else 0.0
        if name == SCORING and not grown:
            grown = taken / high.trials
        fixed = max(0.0, taken - grown * high.trials, before - grown * low.trials)
        # the search in which a part took longer is the one that tells how busy it was
        longer = high if taken >= before else low
        busy = cores(longer.processor.get(name, 0.0), longer.seconds[name])
        parts.append(Part(name, fixed, grown, shared=name == SCORING, cores=busy))
    return tuple(parts)


def search_disk(low: SmallSearch, high: SmallSearch, trials: int) -> float:
    """Bytes of the folder of a search of ``trials``."""
    each = (high.small.disk - low.small.disk) / max(1, high.trials - low.trials)
    return high.small.disk + each * (trials - high.trials)


def search_spread(low: SmallSearch, high: SmallSearch) -> float:
    """How much the two differ by a candidate, as a share."""
    return abs(high.each / low.each - 1) / 2


def forecast_search(
    search: Search, trials: int, *, seconds: float, least: int = _FIRST
) -> Forecast:
    """Search twice, with few and with more candidates, and extrapolate every part by a line. Where
    that was too fast, search a third time, with more.

    Candidates that begin alike are computed once, and a race of many shows most of them fewer
    images, so a candidate of a large search costs less than the line says where both happen.

    Args:
        search: The search.
        trials: Of the whole search.
        seconds: What the second small search may take, about.
        least: Candidates of the first small search, see `least_trials`.
    """
    first = first_trials(trials, least=least)
    with small_run() as folder:
        low = _run(search, first, folder / "first")
        high = _run(search, low.next_trials(seconds, trials), folder / "second")
        if high.seconds[SCORING] < seconds / 2 and high.trials < trials * _MOST:
            # of a race, candidates of the first search tell little about those of more
            high = _run(search, high.next_trials(seconds, trials), folder / "third")
    shortest, longest = interval(search_spread(low, high))
    return Forecast(
        command="search",
        unit="candidates",
        count=trials,
        parts=search_parts(low, high),
        low=shortest,
        high=longest,
        memory=high.small.cost.host_memory,
        disk=round(search_disk(low, high, trials)),
        basis=f"searches of {first} and {high.trials} candidates were run {load()}",
    )


def _run(search: Search, trials: int, folder: Path) -> SmallSearch:
    try:
        search(trials, folder)
    except InfeasibleError as error:
        raise InfeasibleError(f"{error} (among {trials} candidates of a small run)") from error
    return SmallSearch.of(folder, trials)
