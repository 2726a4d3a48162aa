"""Proxies of a correlation study against the baselines that need no forward pass."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

COUNTS = ("params", "flops", "macs")
"""What every architecture has exactly, without a score; FLOPs are two per multiply-add."""

_FIRST = ("params", "flops", "weight_norm")


def baselines(correlations: pd.DataFrame) -> list[str]:
    """What needs no forward pass: parameter count, FLOPs, weight norm, and depth, width and their
    like. A proxy is worth its cost only where it beats them.

    Args:
        correlations: One row per proxy and truth column, with ``proxy`` and ``kind``.
    """
    known = correlations.loc[correlations["kind"] != "score", "proxy"]
    names = list(correlations["proxy"].unique())
    free = [name for name in names if name == "weight_norm" or name in set(known)]
    first = [name for name in _FIRST if name in free]
    return first + [name for name in free if name not in first]


def ordered_proxies(correlations: pd.DataFrame) -> list[str]:
    """Proxies in the order of the table, then the baselines."""
    free = baselines(correlations)
    return [name for name in correlations["proxy"].unique() if name not in free] + free


def nothing_beyond_size(correlations: pd.DataFrame) -> list[str]:
    """Truth columns on which no score adds anything to the parameter count: there are intervals of
    Kendall's partial tau given params, and none is above 0.

    Args:
        correlations: One row per proxy and truth column: ``proxy``, ``truth``, ``kind``,
            ``tau_given_params_low``.
    """
    scores = correlations[correlations["kind"] == "score"]
    lowest = scores.groupby("truth", sort=False)["tau_given_params_low"].max()
    return [str(truth) for truth, low in lowest.items() if low <= 0]


def size_warning(correlations: pd.DataFrame) -> str:
    """`nothing_beyond_size` in one line; empty where there is no such column."""
    columns = nothing_beyond_size(correlations)
    if not columns:
        return ""
    return (
        f"NOTHING BEYOND SIZE on {', '.join(columns)}: given the parameter count, the partial tau "
        "of no score has an interval above 0; they tell no more than the count does"
    )


@dataclass(frozen=True)
class Verdict:
    """The best proxy against the best baseline for one truth column.

    Attributes:
        truth: Truth column.
        proxy: Row of the correlation table with the highest tau; ``None`` where there is no proxy.
        baseline: The same among the baselines.
        reading: How their intervals lie.
    """

    truth: str
    proxy: pd.Series[float] | None
    baseline: pd.Series[float] | None
    reading: str


def verdicts(correlations: pd.DataFrame) -> list[Verdict]:
    """Best proxy against best baseline by Kendall's tau, one per truth column in table order."""
    is_baseline = correlations["proxy"].isin(baselines(correlations))
    result = []
    for truth in correlations["truth"].unique():
        rows = correlations["truth"] == truth
        proxy = _highest_tau(correlations[rows & ~is_baseline])
        baseline = _highest_tau(correlations[rows & is_baseline])
        result.append(Verdict(str(truth), proxy, baseline, _verdict_reading(proxy, baseline)))
    return result


def _highest_tau(rows: pd.DataFrame) -> pd.Series[float] | None:
    defined = rows[rows["tau"].notna()]
    return None if defined.empty else defined.loc[defined["tau"].idxmax()]


def _verdict_reading(proxy: pd.Series[float] | None, baseline: pd.Series[float] | None) -> str:
    if proxy is None or baseline is None:
        return "nothing to compare"
    ends = [row[end] for row in (proxy, baseline) for end in ("tau_low", "tau_high")]
    if not all(map(math.isfinite, ends)):
        return "no interval: too few candidates or resamples"
    if proxy["tau_low"] <= 0:
        return "not better than chance: the interval holds 0"
    if proxy["tau_low"] > baseline["tau_high"]:
        return "beats the baseline, intervals apart"
    if proxy["tau_high"] < baseline["tau_low"]:
        return "worse than the baseline, intervals apart"
    return "intervals overlap: no clear difference"
