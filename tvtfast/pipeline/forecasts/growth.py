"""What growth will take."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tvtfast.common.forecast import Forecast, Part
from tvtfast.growing import Family, GrowthStep
from tvtfast.pipeline.forecasts.measuring import Small, cores, interval, load, small_run

Grow = Callable[[Path], Family]
"""The growth that ends after few steps, in another folder."""
OnPaper = Callable[[Sequence[GrowthStep]], Sequence[Sequence[Sequence[Any]]]]
"""Candidates of every step of some growths on paper that choose as some steps have, see
`tvtfast.growing.on_paper`."""
Score = Callable[[list[Any]], object]
"""Scores candidates of one step, as growth does."""

_ENDS = (0.05, 0.95)
"""Shares of growths on paper that the interval leaves out on either side."""
_LEAST, _MOST = 3, 12
"""Steps of which a candidate is scored."""


@dataclass(frozen=True)
class _Timed:
    """One candidate that was scored."""

    step: int
    seconds: float
    processor: float


def forecast_growth(grow: Grow, score: Score, on_paper: OnPaper, *, seconds: float) -> Forecast:
    """Grow a few steps, score candidates of steps that are spread over a growth on paper, and count
    on.

    Scores decide which model grows on, so the number of candidates is not known before; it is the
    median of growths in which they are drawn, and the interval has nine of ten. A candidate of a
    step between two that were measured takes what lies between theirs.

    Args:
        grow: The growth.
        score: Scores candidates.
        on_paper: Makes growths on paper.
        seconds: What scoring may take, about.
    """
    with small_run() as made:
        family = grow(made / "run")
        small = Small.of(made / "run")
    begun_with = tuple(step for step in family.steps if step.number and step.target is None)
    ordered = sorted(on_paper(begun_with), key=_candidates)
    steps = ordered[len(ordered) // 2]
    _timed(score, steps, 0)  # the first computation is not like those after it
    begun = time.perf_counter()
    found: list[_Timed] = []
    for place in _spread(len(steps)):
        if len(found) >= _LEAST and time.perf_counter() - begun > seconds:
            break
        found.append(_timed(score, steps, place))
    found.sort(key=lambda one: one.step)
    candidates = _candidates(steps)
    scoring = _sum(steps, {one.step: one.seconds for one in found})
    processor = _sum(steps, {one.step: one.processor for one in found})
    fixed = max(0.0, small.cost.wall_seconds - family.seconds)
    low, high = interval(_doubt(found))
    fewest, most = (_candidates(ordered[round(end * (len(ordered) - 1))]) for end in _ENDS)
    return Forecast(
        command="grow",
        unit="candidates",
        count=candidates,
        parts=(
            Part(
                "set-up and files",
                fixed,
                cores=small.cores,
            ),
            Part(
                "scoring",
                each=scoring / candidates,
                shared=True,
                cores=cores(processor, scoring),
            ),
        ),
        low=low * fewest / candidates,
        high=high * most / candidates,
        memory=small.cost.host_memory,
        disk=round(small.disk * max(1.0, len(steps) / len(family.steps))),
        basis=f"{len(ordered)} growths on paper have {fewest} to {most} candidates; of "
        f"{len(found)} of {len(steps)} steps some were scored {load()}",
        exact=False,
    )


def _candidates(steps: Sequence[Sequence[Any]]) -> int:
    return sum(map(len, steps))


def _timed(score: Score, steps: Sequence[Sequence[Any]], step: int) -> _Timed:
    """Half of the candidates of a step, at least one: they are scored together."""
    some = list(steps[step][: max(1, len(steps[step]) // 2)])
    clock, processor = time.perf_counter(), time.process_time()
    score(some)
    return _Timed(
        step,
        (time.perf_counter() - clock) / len(some),
        (time.process_time() - processor) / len(some),
    )


def _spread(steps: int) -> list[int]:
    """Places of steps, both ends first, then what halves the widest gap."""
    places = [0, steps - 1] if steps > 1 else [0]
    while len(places) < min(steps, _MOST):
        known = sorted(places)
        gaps = [(after - before, before) for before, after in zip(known, known[1:], strict=False)]
        width, before = max(gaps)
        places.append(before + width // 2)
    return places


def _sum(steps: Sequence[Sequence[Any]], known: Mapping[int, float]) -> float:
    """Over all candidates, between measured steps by a line."""
    import numpy as np

    places = sorted(known)
    each = np.interp(range(len(steps)), places, [known[place] for place in places])
    return float(sum(len(step) * one for step, one in zip(steps, each, strict=True)))


def _doubt(found: Sequence[_Timed]) -> float:
    """How far a step in the middle lies off the line between its neighbours, as a share."""
    shares = []
    for before, one, after in zip(found, found[1:], found[2:], strict=False):
        share = (one.step - before.step) / (after.step - before.step)
        line = before.seconds + share * (after.seconds - before.seconds)
        shares.append(abs(one.seconds / line - 1) / 2)
    return max(shares, default=0.0)
