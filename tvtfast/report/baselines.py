"""Proxies of a correlation study against the baselines that need no forward pass."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

COUNTS = ("params", "flops", "macs")
"""What every architecture has exactly, without a score; FLOPs are two per multiply-add."""

BASELINES = ("params", "flops", "weight_norm")
"""Scores that need no forward pass; a proxy is worth its cost only where it beats them."""


def ordered_proxies(correlations: pd.DataFrame) -> list[str]:
    """Proxies in the order of the table, then the baselines in theirs."""
    names = list(correlations["proxy"].unique())
    return [name for name in names if name not in BASELINES] + [
        name for name in BASELINES if name in names
    ]


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
    is_baseline = correlations["proxy"].isin(BASELINES)
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
