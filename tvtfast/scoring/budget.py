"""What choosing by a score gains: inside a budget, and among the ten best."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tvtfast.scoring.agreement import Floats

LOW = 0.85
"""Least parameters inside a budget, as a share of its limit."""
LEAST = 5
"""Candidates that a budget window holds at least."""


class Gain(NamedTuple):
    """What is gained by the best score inside budget windows.

    Args:
        gain: Its accuracy less the mean of its window, mean over windows; NaN without windows.
        share: Sum of the gains over the sum of the greatest possible ones; NaN where those are 0.
        windows: Number of windows.
        reason: Why a value is NaN; else empty.
    """

    gain: float
    share: float
    windows: int
    reason: str


def window_gain(scores: Floats, accuracies: Floats, params: Floats) -> Gain:
    """Take the best score among the candidates with 85 to 100 % of a limit in parameters.

    The parameters of every candidate are a limit, once each; windows with fewer than five
    candidates are left out. Of several best scores the mean accuracy counts.

    Args:
        scores: Higher is better ``[n]``.
        accuracies: ``[n]``.
        params: ``[n]``.
    """
    limits = np.unique(params)
    inside = (params >= LOW * limits[:, None]) & (params <= limits[:, None])
    inside = inside[inside.sum(axis=1) >= LEAST]
    if not len(inside):
        reason = f"no limit has {LEAST} candidates with {LOW:.0%} to 100% of it in params"
        return Gain(np.nan, np.nan, 0, reason)
    best = np.where(inside, scores, -np.inf)
    picked = inside & (best == best.max(axis=1, keepdims=True))
    highest = np.where(inside, accuracies, -np.inf).max(axis=1)
    if (highest == np.where(inside, accuracies, np.inf).min(axis=1)).all():
        reason = "inside every window all accuracies are equal"
        return Gain(0.0, np.nan, len(inside), reason)
    mean = _mean(inside, accuracies)
    gains = _mean(picked, accuracies) - mean
    share = float(gains.sum() / (highest - mean).sum())
    return Gain(float(gains.mean()), share, len(inside), "")


def _mean(chosen: npt.NDArray[np.bool_], values: Floats) -> Floats:
    """Of the chosen values of every row."""
    found: Floats = chosen @ values / chosen.sum(axis=1)
    return found


def precision(scores: Floats, accuracies: Floats, k: int) -> float:
    """Share of the ``k`` truly best among the ``k`` best by score, ``k / n`` by chance. Equal
    values at the border share the places that are left.

    Args:
        scores: Higher is better ``[n]``.
        accuracies: ``[n]``, higher is better.
        k: Fewer than ``n``.
    """
    return float((_among_best(scores, k) * _among_best(accuracies, k)).sum() / k)


def _among_best(values: Floats, k: int) -> Floats:
    """How much of every value is among the ``k`` greatest, of equal ones the same."""
    border = np.sort(values)[-k]
    above, equal = values > border, values == border
    return above + equal * ((k - above.sum()) / equal.sum())
