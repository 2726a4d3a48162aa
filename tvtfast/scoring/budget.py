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
MOST = 100
"""Budget windows at most."""


class Gain(NamedTuple):
    """What is gained by the best score inside budget windows, in every resample.

    Args:
        gain: Its accuracy less the mean of its window, mean over windows ``[1 + R]``.
        share: Sum of the gains over the sum of the greatest possible ones ``[1 + R]``; NaN where
            those are 0.
        reason: Why a first value is NaN; else empty.
    """

    gain: Floats
    share: Floats
    reason: str


class Windows:
    """Candidates with 85 to 100 % of a limit in parameters, for limits over the whole range.

    The parameters of every candidate are a limit, once each; windows with fewer than five
    candidates are left out, and of more than 100 limits as many are taken, evenly spread.

    Args:
        params: ``[n]``.
        times: How often every resample holds a candidate ``[1 + R, n]``, the candidates themselves
            first.
    """

    def __init__(self, params: Floats, times: npt.NDArray[np.float32]) -> None:
        inside = (np.flatnonzero((params >= LOW * x) & (params <= x)) for x in np.unique(params))
        members = [rows for rows in inside if len(rows) >= LEAST]
        kept = np.linspace(0, len(members) - 1, min(MOST, len(members))).round().astype(int)
        self._members = [members[place] for place in kept]
        self._times = times
        self._worth: dict[str, tuple[Floats, Floats]] = {}
        self._first: dict[str, npt.NDArray[np.intp]] = {}

    def __len__(self) -> int:
        return len(self._members)

    def gain(self, score: str, scores: Floats, accuracy: str, accuracies: Floats) -> Gain:
        """Take the best score of every window. Of several best ones the mean accuracy counts.

        Args:
            score: Name of the scores, which are always the same under it.
            scores: Higher is better ``[n]``.
            accuracy: Name of the accuracies, likewise.
            accuracies: ``[n]``.
        """
        if not self._members:
            nothing = np.full(len(self._times), np.nan)
            reason = f"no limit has {LEAST} candidates with {LOW:.0%} to 100% of it in params"
            return Gain(nothing, nothing, reason)
        mean, highest = self._mean_and_highest(accuracy, accuracies)
        if len(np.unique(scores)) == len(scores):
            picked = accuracies[self._picks(score, scores)]
        else:
            picked = self._mean_of_best(scores, accuracies)
        gains, possible = picked - mean, (highest - mean).clip(min=0)
        there = np.isfinite(mean)
        total = np.where(there, gains, 0).sum(axis=1)
        most = np.where(there, possible, 0).sum(axis=1)
        flat = most <= 1e-12 * np.abs(accuracies).max() * len(self)
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(flat, np.nan, total / most)
            gain = total / there.sum(axis=1)
        reason = "inside every window all accuracies are equal" if flat[0] else ""
        return Gain(gain, share, reason)

    def _mean_and_highest(self, name: str, accuracies: Floats) -> tuple[Floats, Floats]:
        """Of every resample and window ``[1 + R, W]``; NaN where it holds no candidate."""
        if name not in self._worth:
            mean, highest = [], []
            for rows in self._members:
                times = self._times[:, rows]
                held = times.sum(axis=1)
                known = np.where(times > 0, accuracies[rows], -np.inf).max(axis=1)
                highest.append(np.where(held > 0, known, np.nan))
                mean.append(_weighted(times, accuracies[rows]))
            self._worth[name] = np.column_stack(mean), np.column_stack(highest)
        return self._worth[name]

    def _picks(self, name: str, scores: Floats) -> npt.NDArray[np.intp]:
        """The candidate with the best of different scores ``[1 + R, W]``; any where there is
        none."""
        if name not in self._first:
            picks = []
            for rows in self._members:
                ordered = rows[np.argsort(-scores[rows])]
                picks.append(ordered[(self._times[:, ordered] > 0).argmax(axis=1)])
            self._first[name] = np.column_stack(picks)
        return self._first[name]

    def _mean_of_best(self, scores: Floats, accuracies: Floats) -> Floats:
        """Mean accuracy of the best among scores of which some are equal ``[1 + R, W]``."""
        picked = []
        for rows in self._members:
            times = self._times[:, rows]
            best = np.where(times > 0, scores[rows], -np.inf).max(axis=1)
            picked.append(_weighted(times * (scores[rows] == best[:, None]), accuracies[rows]))
        return np.column_stack(picked)


def _weighted(times: npt.NDArray[np.float32], values: Floats) -> Floats:
    """Mean of some candidates in every resample ``[1 + R]``; NaN where there is none."""
    with np.errstate(invalid="ignore"):
        found: Floats = times @ values / times.sum(axis=1)
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
