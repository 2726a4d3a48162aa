"""Combine proxies over a population, and judge them against the truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd

    from tvtfast.scoring.table import ScoreTable

Method: TypeAlias = "str | Callable[[pd.DataFrame], pd.Series[float]]"

_STATISTICS = ("tau", "rho", "r")


def _minmax(frame: pd.DataFrame, sure: pd.DataFrame) -> pd.DataFrame:
    span = sure.max() - sure.min()
    return ((frame - sure.min()) / span.where(span > 0)).fillna(0.0)


def _zscore(frame: pd.DataFrame, sure: pd.DataFrame) -> pd.DataFrame:
    deviation = sure.std(ddof=0)
    return ((frame - sure.mean()) / deviation.where(deviation > 0)).fillna(0.0)


_METHODS: Mapping[str, Callable[[pd.DataFrame, pd.DataFrame], pd.Series[float]]] = {
    "minmax_sum": lambda frame, sure: _minmax(frame, sure).sum(axis=1),
    "rank_sum": lambda frame, sure: frame.rank(method="average").sum(axis=1),
    "zscore_sum": lambda frame, sure: _zscore(frame, sure).sum(axis=1),
    "product": lambda frame, sure: _minmax(frame, sure).prod(axis=1),
}
METHODS = tuple(_METHODS)


def combine(
    frame: pd.DataFrame,
    higher_is_better: Mapping[str, bool],
    method: Method = "minmax_sum",
    partial: pd.DataFrame | None = None,
) -> pd.Series[float]:
    """One score per row from several columns; higher is better.

    Columns where lower is better are negated first. Rows with a missing or infinite entry take no
    part and get NaN. A column without spread contributes nothing.

    Args:
        frame: One column per proxy.
        higher_is_better: Direction of each column.
        method: ``minmax_sum`` (each column scaled to 0..1, added), ``rank_sum`` (average ranks,
            added), ``zscore_sum`` (standardised, added), ``product`` (scaled to 0..1, multiplied),
            or a function of the oriented frame that returns one value per row.
        partial: Which entries are estimates, of candidates that went out of a race. They take no
            part in scaling, and a row with one stays below every row without.

    Raises:
        ValueError: An unknown method, no column, or a function returning the wrong length.
    """
    import pandas as pd

    if not len(frame.columns):
        raise ValueError("there is no proxy to combine; name at least one")
    if isinstance(method, str) and method not in _METHODS:
        raise ValueError(f"unknown method {method!r}; known: {', '.join(METHODS)}, or a function")
    signs = [1.0 if higher_is_better[column] else -1.0 for column in frame.columns]
    oriented = frame.astype("float64") * signs
    usable = oriented[np.isfinite(oriented).all(axis=1)]
    rough = (
        pd.DataFrame(False, index=usable.index, columns=usable.columns)
        if partial is None
        else partial.loc[usable.index, usable.columns]
    )
    if isinstance(method, str):
        scores, name = _METHODS[method](usable, usable.mask(rough)), method
    else:
        scores, name = method(usable), getattr(method, "__name__", "score")
        if len(scores) != len(usable):
            raise ValueError(
                f"{name} returned {len(scores)} scores for {len(usable)} candidates; one each is "
                "needed"
            )
        scores = _series(scores, usable.index)
    estimated = rough.any(axis=1)
    if estimated.any() and not estimated.all():
        ceiling = np.nextafter(scores[~estimated].min(), -np.inf)
        scores = scores.where(~estimated, scores.clip(upper=ceiling))
    return scores.reindex(frame.index).rename(name)


def rank(
    table: ScoreTable, method: Method = "minmax_sum", proxies: Sequence[str] | None = None
) -> pd.Series[float]:
    """Combined score of every candidate of a table; the best is ``rank(table).idxmax()``.

    Args:
        table: Scores of a population.
        method: See `combine`.
        proxies: Columns to combine; default all that were scored, without the baselines ``params``
            and ``flops`` and without combinations such as ``tvt``.

    Returns:
        One value per row, in the order and with the index of the table; NaN where a candidate
        misses a score or is outside a constraint. Candidates that went out of a race rank below all
        others: their scores are estimates, and at most that of the last of the others.

    Raises:
        ValueError: An unknown method or column.
    """
    chosen = list(table.scored if proxies is None else proxies)
    unknown = [name for name in chosen if name not in table.higher_is_better]
    if unknown:
        known = ", ".join(table.higher_is_better)
        raise ValueError(f"the table has no proxy {', '.join(unknown)}; it has {known}")
    partial = table.status[chosen] == "partial"
    inside = table.to_pandas()[chosen].where(table.violations == 0)
    return combine(inside, table.higher_is_better, method, partial)


def correlate(
    table: ScoreTable,
    truth: pd.DataFrame | pd.Series[float] | Mapping[str, Sequence[float]],
    *,
    confidence: float = 0.95,
    n_resamples: int = 500,
    seed: int = 0,
) -> pd.DataFrame:
    """Agreement of every proxy, baselines included, with measured accuracy.

    Args:
        table: Scores of a population.
        truth: One column per accuracy; rows in the order of the table.
        confidence: Coverage of the intervals.
        n_resamples: Bootstrap resamples of the candidates; all pairs of columns share them.
        seed: Seed of the resamples.

    Returns:
        One row per proxy and accuracy: ``proxy, truth, n``, and for Kendall's tau-b (``tau``),
        Spearman's ``rho`` and Pearson's ``r`` the value and the percentile bootstrap interval
        (``tau_low``, ``tau_high``, ...). Signs are such that positive means the proxy ranks well:
        proxies where lower is better are negated. Candidates with a missing value are left out of
        ``n``; fewer than three leave NaN.

    Raises:
        ValueError: ``truth`` has another number of rows than the table, or no column.
    """
    import pandas as pd

    values = table.to_pandas()
    measured = truth.to_frame() if isinstance(truth, pd.Series) else pd.DataFrame(truth)
    if len(measured) != len(values) or not len(measured.columns):
        raise ValueError(
            f"truth has {len(measured)} rows and {len(measured.columns)} columns for a table of "
            f"{len(values)} candidates; give one row per candidate, in the same order"
        )
    if not 0 < confidence < 1 or n_resamples < 1:
        raise ValueError(
            f"confidence={confidence}, n_resamples={n_resamples}; give a confidence between 0 and "
            "1 and at least one resample"
        )
    resamples = np.random.default_rng(seed).integers(len(values), size=(n_resamples, len(values)))
    rows = []
    for proxy, higher in table.higher_is_better.items():
        scores = values[proxy].to_numpy("float64") * (1.0 if higher else -1.0)
        for column in measured.columns:
            accuracies = measured[column].to_numpy("float64")
            rows.append(
                {"proxy": proxy, "truth": str(column)}
                | _agreement(scores, accuracies, resamples, confidence)
            )
    return pd.DataFrame(rows)


def _agreement(
    scores: npt.NDArray[np.float64],
    accuracies: npt.NDArray[np.float64],
    resamples: npt.NDArray[np.int64],
    confidence: float,
) -> dict[str, float]:
    valid = np.isfinite(scores) & np.isfinite(accuracies)
    result: dict[str, float] = {"n": int(valid.sum())}
    point = _statistics(scores[valid], accuracies[valid])
    drawn = np.array(
        [
            _statistics(scores[kept], accuracies[kept])
            for kept in (rows[valid[rows]] for rows in resamples)
        ]
    )
    tail = (1 - confidence) / 2
    for column, name in enumerate(_STATISTICS):
        finite = drawn[np.isfinite(drawn[:, column]), column]
        low, high = np.quantile(finite, [tail, 1 - tail]) if len(finite) else (np.nan, np.nan)
        result |= {name: point[column], f"{name}_low": float(low), f"{name}_high": float(high)}
    return result


def _statistics(
    x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]
) -> tuple[float, float, float]:
    from scipy import stats

    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return np.nan, np.nan, np.nan
    tau = stats.kendalltau(x, y, method="asymptotic").statistic
    rho = stats.spearmanr(x, y).statistic
    return float(tau), float(rho), float(stats.pearsonr(x, y).statistic)


def _series(values: Any, index: pd.Index[Any]) -> pd.Series[float]:
    import pandas as pd

    return pd.Series(np.asarray(values, dtype="float64"), index=index)
