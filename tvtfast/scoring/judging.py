"""What one column of scores is worth against one column of accuracies."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tvtfast.scoring.agreement import Floats, Sample
from tvtfast.scoring.budget import Gain, Windows, precision
from tvtfast.scoring.partial import Partial, partial_tau

COEFFICIENTS = ("tau", "tau_given_params", "tau_given_params_depth", "rho", "r")
_WITH_INTERVAL = (*COEFFICIENTS, "tau_over_params", "gain", "gain_share")
COLUMNS = (
    "proxy",
    "truth",
    "kind",
    "n",
    "fitted",
    *(f"{name}{end}" for name in _WITH_INTERVAL for end in ("", "_low", "_high")),
    *("windows", "precision", "precision_k"),
    *("seconds", "draws", "draw_tau", "reason"),
    *(f"{name}_reason" for name in ("tau_given_params", "tau_given_params_depth")),
    "tau_over_params_reason",
    *(f"{name}_reason" for name in ("gain", "precision", "seconds", "draw_tau")),
)
"""Of the table of judgements."""

_LEAST = 3
"""Candidates that a coefficient is told of."""


class Judge:
    """Judges columns of scores of one population.

    Args:
        sizes: ``params`` and ``depth`` of all candidates, as far as they are known.
        confidence: Coverage of the intervals.
        n_resamples: Bootstrap resamples.
        seed: Of the resamples.
        top_k: How many best candidates a precision is about.
    """

    def __init__(
        self,
        sizes: Mapping[str, Floats],
        confidence: float,
        n_resamples: int,
        seed: int,
        top_k: int,
    ) -> None:
        self._sizes, self._top_k = sizes, top_k
        self._tails = [(1 - confidence) / 2, (1 + confidence) / 2]
        self._n_resamples, self._seed = n_resamples, seed
        self._samples: dict[bytes, Sample] = {}
        self._windows: dict[bytes, Windows] = {}

    def row(
        self,
        proxy: str,
        scores: Floats,
        column: str,
        accuracies: Floats,
        fitted: npt.NDArray[np.bool_] | None = None,
    ) -> dict[str, Any]:
        """All that depends on both columns.

        Args:
            proxy: Name of the scores.
            scores: Higher is better ``[n]``; NaN where there is none.
            column: Name of the accuracies.
            accuracies: Higher is better ``[n]``; NaN where there is none.
            fitted: Candidates whose accuracies the scores were fitted to ``[n]``; default none.
        """
        known = np.isfinite(scores) & np.isfinite(accuracies)
        x, y = scores[known], accuracies[known]
        reason = _undefined(x, y)
        both = 0 if fitted is None else int((known & fitted).sum())
        row: dict[str, Any] = {"n": len(x), "fitted": both, "reason": reason}
        if reason:
            missing = (
                *("tau_given_params", "tau_given_params_depth", "tau_over_params"),
                *("gain", "precision"),
            )
            nothing = Partial(np.full(2, np.nan), reason)
            for name in _WITH_INTERVAL:
                row |= self._with_interval(name, nothing.values)
            row |= {"windows": 0, "precision": np.nan, "precision_k": self._top_k}
            return row | {f"{name}_reason": reason for name in missing}
        sample = self._sample(known)
        first, second = f"score {proxy}", f"truth {column}"
        sample.add(first, x)
        sample.add(second, y)
        for name, of in (("tau", sample.tau), ("rho", sample.rho), ("r", sample.r)):
            row |= self._with_interval(name, of(first, second))
        for name, held in (
            ("tau_given_params", ("params",)),
            ("tau_given_params_depth", ("params", "depth")),
        ):
            found = self._given(sample, known, first, second, held)
            row |= self._with_interval(name, found.values)
            row[f"{name}_reason"] = found.reason
        row |= self._over_params(sample, known, first, second)
        return row | self._gain(sample, known, first, second) | self._precision(x, y)

    def _sample(self, known: npt.NDArray[np.bool_]) -> Sample:
        """The resamples of some candidates."""
        key = known.tobytes()
        if key not in self._samples:
            self._samples[key] = Sample(int(known.sum()), self._n_resamples, self._seed)
        return self._samples[key]

    def _given(
        self,
        sample: Sample,
        known: npt.NDArray[np.bool_],
        first: str,
        second: str,
        held: tuple[str, ...],
    ) -> Partial:
        """Partial tau given ``params``, or given ``params`` and ``depth``."""
        for name in held:
            reason = self._unfit(name, known)
            if reason:
                return Partial(np.full(2, np.nan), reason)
            sample.add(name, self._sizes[name][known])
        return partial_tau(sample.tau, first, second, *held)

    def _over_params(
        self, sample: Sample, known: npt.NDArray[np.bool_], first: str, second: str
    ) -> dict[str, Any]:
        """How much higher tau is than that of the parameter count, on the same resamples."""
        reason = self._unfit("params", known)
        values = np.full(2, np.nan)
        if not reason:
            sample.add("params", self._sizes["params"][known])
            values = sample.tau(first, second) - sample.tau("params", second)
        found = self._with_interval("tau_over_params", values)
        return {**found, "tau_over_params_reason": reason}

    def _unfit(self, size: str, known: npt.NDArray[np.bool_]) -> str:
        """Why a size cannot be held fixed; empty where it can."""
        if size not in self._sizes:
            return f"the table has no {size} of its candidates"
        values = self._sizes[size][known]
        missing = int((~np.isfinite(values)).sum())
        if missing:
            return f"{missing} of {len(values)} candidates have no {size}"
        same = f"all {len(values)} candidates have the same {size}"
        return same if np.ptp(values) == 0 else ""

    def _gain(
        self, sample: Sample, known: npt.NDArray[np.bool_], first: str, second: str
    ) -> dict[str, Any]:
        params = self._sizes.get("params", np.full(len(known), np.nan))[known]
        if not np.isfinite(params).all():
            nothing = np.full(2, np.nan)
            gain, windows = Gain(nothing, nothing, self._unfit("params", known)), 0
        else:
            key = known.tobytes()
            if key not in self._windows:
                self._windows[key] = Windows(params, sample.times)
            x, y = sample[first], sample[second]
            gain, windows = self._windows[key].gain(first, x, second, y), len(self._windows[key])
        row: dict[str, Any] = {"windows": windows, "gain_reason": gain.reason}
        row |= self._with_interval("gain", gain.gain)
        return row | self._with_interval("gain_share", gain.share)

    def _precision(self, x: Floats, y: Floats) -> dict[str, Any]:
        k, n = self._top_k, len(x)
        reason = "" if n > k else f"{n} candidates, more than {k} are needed"
        value = np.nan if reason else precision(x, y, k)
        return {"precision": value, "precision_k": k, "precision_reason": reason}

    def _with_interval(self, name: str, values: Floats) -> dict[str, float]:
        """A coefficient and its percentile interval over the resamples where it is defined."""
        drawn = values[1:][np.isfinite(values[1:])]
        if np.isnan(values[0]) or not len(drawn):
            low = high = np.nan
        else:
            low, high = np.quantile(drawn, self._tails)
        return {name: float(values[0]), f"{name}_low": float(low), f"{name}_high": float(high)}

    def cost(self, seconds: float | None, *, closed: bool = False) -> dict[str, Any]:
        """What a candidate cost.

        Args:
            seconds: As the table knows it, if it does.
            closed: Whether it is a closed form, which nobody times.
        """
        if seconds is not None and np.isfinite(seconds):
            return {"seconds": seconds, "seconds_reason": ""}
        reason = "closed form, not timed" if closed else "the table does not know what it took"
        return {"seconds": np.nan, "seconds_reason": reason}

    def draws(self, scores: Floats | None, *, several: bool) -> dict[str, Any]:
        """Agreement between weight draws.

        Args:
            scores: Of every draw ``[draws, n]``; ``None`` where there is one.
            several: Whether other columns of the table have several.
        """
        if scores is None:
            reason = (
                "it does not depend on the weight draw"
                if several
                else "one weight draw; score with init_seeds of at least 2"
            )
            return {"draws": 1, "draw_tau": np.nan, "draw_tau_reason": reason}
        complete = scores[:, np.isfinite(scores).all(axis=0)]
        taus, reason = [np.nan], ""
        if complete.shape[1] < _LEAST:
            reason = f"{complete.shape[1]} candidates have all draws, {_LEAST} are needed"
        elif (np.ptp(complete, axis=1) == 0).any():
            reason = "all scores of a draw are equal"
        else:
            taus = [_tau(a, b) for a, b in itertools.combinations(complete, 2)]
        draw_tau = float(np.mean(taus))
        return {"draws": len(scores), "draw_tau": draw_tau, "draw_tau_reason": reason}


def _tau(x: Floats, y: Floats) -> float:
    sample = Sample(len(x), 0, 0)
    sample.add("x", x)
    sample.add("y", y)
    return float(sample.tau("x", "y")[0])


def _undefined(x: Floats, y: Floats) -> str:
    """Why there is no coefficient; empty where there is one."""
    if len(x) < _LEAST:
        return f"{len(x)} candidates have score and accuracy, {_LEAST} are needed"
    for what, values in (("scores", x), ("accuracies", y)):
        if np.ptp(values) == 0:
            return f"all {len(values)} {what} are equal"
    return ""
