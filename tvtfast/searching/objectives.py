"""Objectives of a search, and the Pareto front of what it scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from tvtfast.proxies import CombinedProxy
from tvtfast.scoring.table import ScoreTable
from tvtfast.spaces import METRICS


def parse_objectives(
    objectives: Sequence[str], proxies: Mapping[str, bool], combined: Sequence[CombinedProxy] = ()
) -> dict[str, bool]:
    """Whether higher is better in each objective. Counts are costs.

    Args:
        objectives: Names of columns.
        proxies: The proxies that are scored, and whether higher is better.
        combined: Those that are combined from them.

    Raises:
        ValueError: No objective, or one that no single candidate has a value of.
    """
    known = {**proxies, **dict.fromkeys(METRICS, False)}
    unknown = [name for name in objectives if name not in known]
    if unknown or not objectives:
        within = [proxy for proxy in combined if proxy.name in unknown]
        hint = f"; {within[0].name} is scaled over a population, name its parts" if within else ""
        raise ValueError(
            f"objectives are {', '.join(objectives) or 'empty'}; give some of {', '.join(known)}"
            f"{hint}"
        )
    return {name: known[name] for name in objectives}


def pareto_front(table: ScoreTable, objectives: Mapping[str, bool]) -> tuple[int, ...]:
    """Rows that no other row beats, best in the first objective first. Rows with an estimate,
    without a value or outside a constraint take no part."""
    if not objectives:
        return ()
    names = list(objectives)
    signs = [-1.0 if higher else 1.0 for higher in objectives.values()]
    costs = table.to_pandas()[names].astype("float64").to_numpy() * signs
    costs[(table.status[names] == "partial").any(axis=1) | (table.violations > 0)] = np.nan
    rows = np.flatnonzero(non_dominated(costs))
    return tuple(rows[np.lexsort(costs[rows].T[::-1])].tolist())


def non_dominated(costs: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Rows that no other row beats: none is as low everywhere and lower somewhere.

    Args:
        costs: ``[n, k]`` of k objectives, lower is better. Rows with NaN are not on the front.

    Returns:
        ``[n]``; equal rows are on the front together.
    """
    costs = np.asarray(costs, dtype=np.float64)
    front = ~np.isnan(costs).any(axis=1)
    for row in np.lexsort(costs.T[::-1]):
        if front[row]:
            no_higher = (costs[row] <= costs).all(axis=1)
            front &= ~(no_higher & (costs[row] < costs).any(axis=1))
    return front
