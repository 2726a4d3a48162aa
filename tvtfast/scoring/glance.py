"""A look at a population while it is scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tvtfast.scoring.ledger import Ledger
from tvtfast.scoring.race import Rung
from tvtfast.scoring.setup import Setup


@dataclass(frozen=True)
class Glance:
    """What is known at one moment.

    Args:
        candidates: As they were given.
        values: Scores by proxy, means over weight draws, ``[n]`` each; NaN where one is not known
            yet, and in a race the mean over the images that were shown.
        higher_is_better: Their directions.
        params: Parameters, ``[n]``; NaN where they are not counted yet.
        out: Candidates that a race has let go, ``[n]``.
        rungs: Rounds of the race that have begun; empty where there is none.
    """

    candidates: Sequence[Any]
    values: Mapping[str, npt.NDArray[np.float64]]
    higher_is_better: Mapping[str, bool]
    params: npt.NDArray[np.float64]
    out: npt.NDArray[np.bool_]
    rungs: tuple[Rung, ...] = ()


def glance(ledger: Ledger, setup: Setup) -> Glance:
    """Look at a ledger, from whatever thread.

    Scores that are made of others, such as combinations whose scale is the population, are not
    among the values: there is no population before its end.
    """
    race = ledger.race
    raced = {} if race is None else {proxy.name for proxy in race.proxies}
    shown = {proxy.name: proxy for proxy in setup.single if proxy.name in setup.scored}
    values = {
        name: race.so_far(name)
        if race is not None and name in raced
        else np.array(ledger.values_so_far(name))
        for name in shown
    }
    out = np.zeros(len(ledger.population), dtype=np.bool_)
    if race is not None:
        out[:] = True
        out[list(race.alive)] = False
    return Glance(
        [candidate.source for candidate in ledger.population],
        values,
        {name: proxy.higher_is_better for name, proxy in shown.items()},
        np.array(ledger.values_so_far("params")),
        out,
        () if race is None else tuple(race.rungs),
    )
