"""Judge proxies by how they rank candidates of known accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tvtfast.common.accuracies import is_accuracy
from tvtfast.data.truth_file import ARCH

if TYPE_CHECKING:
    import pandas as pd

    from tvtfast.scoring.table import ScoreTable

_STATISTICS = ("tau", "rho", "r")
_LEAST = 3
"""Candidates that a coefficient is told of."""


def correlate(
    table: ScoreTable,
    truth: pd.DataFrame | pd.Series[float] | Mapping[str, Sequence[float]],
    *,
    confidence: float = 0.95,
    n_resamples: int = 500,
    seed: int = 0,
) -> pd.DataFrame:
    """Agreement of every proxy, baselines included, with measured accuracy. Multiply-adds rank as
    FLOPs do, and have rows of their own only where they were asked for.

    Args:
        table: Scores of a population.
        truth: One column per accuracy, higher is better; NaN where a candidate was not trained.
            Rows in the order of the table; or a frame with a column ``arch`` of canonical JSON, as
            `tvtfast.load_truth` and `tvtfast.collect_truth` give it, whose rows are found by
            architecture, and whose columns of truth are those that end in ``acc`` or ``accuracy``,
            or all of numbers where there is none.
        confidence: Coverage of the intervals.
        n_resamples: Bootstrap resamples of the candidates; all pairs of columns with as many
            values share them.
        seed: Seed of the resamples.

    Returns:
        One row per proxy and accuracy: ``proxy, truth, n``, and for Kendall's tau-b (``tau``),
        Spearman's ``rho`` and Pearson's ``r`` the value and the percentile bootstrap interval
        (``tau_low``, ``tau_high``, ...), and ``reason``: why there is no value, or empty text.
        Signs are such that positive means the proxy ranks well: proxies where lower is better are
        negated. Candidates with a missing value are left out of ``n``, value and interval; fewer
        than three, or no variation among them, leave NaN.

    Raises:
        ValueError: ``truth`` has another number of rows than the table, an architecture that is no
            candidate or comes twice, no column, or one that holds text or an infinite value.
    """
    import pandas as pd

    values = table.to_pandas()
    measured = _measured(values, truth)
    if not 0 < confidence < 1 or n_resamples < 1:
        raise ValueError(
            f"confidence={confidence}, n_resamples={n_resamples}; give a confidence between 0 and "
            "1 and at least one resample"
        )
    rows = []
    for proxy, higher in table.higher_is_better.items():
        if proxy == "macs" and proxy not in table.scored:
            continue
        scores = values[proxy].to_numpy("float64") * (1.0 if higher else -1.0)
        for column, accuracies in measured.items():
            rows.append(
                {"proxy": proxy, "truth": column}
                | _agreement(scores, accuracies, confidence, n_resamples, seed)
            )
    return pd.DataFrame(rows)


def _measured(
    values: pd.DataFrame, truth: pd.DataFrame | pd.Series[float] | Mapping[str, Sequence[float]]
) -> dict[str, npt.NDArray[np.float64]]:
    """The columns of truth by name, in the order of the table."""
    import pandas as pd

    frame = truth.to_frame() if isinstance(truth, pd.Series) else pd.DataFrame(truth)
    if ARCH in frame.columns:
        frame = _by_architecture(values[ARCH], frame)
    if len(frame) != len(values) or not len(frame.columns):
        raise ValueError(
            f"truth has {len(frame)} rows and {len(frame.columns)} columns for a table of "
            f"{len(values)} candidates; give one row per candidate, in the same order"
        )
    return {str(column): _numbers(str(column), frame[column]) for column in frame.columns}


def _by_architecture(candidates: pd.Series[Any], truth: pd.DataFrame) -> pd.DataFrame:
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    given = truth[ARCH]
    known = set(candidates)
    for row, arch in enumerate(given):
        if not isinstance(arch, str) or arch not in known:
            raise ValueError(
                f"truth row {row}: {ARCH} is {str(arch)[:80]!r}, which is no candidate of the "
                "table; give canonical JSON (space.encode), and only rows of candidates that were "
                "scored"
            )
    if given.duplicated().any():
        row = int(given.duplicated().to_numpy().argmax())
        raise ValueError(f"truth row {row} has an architecture of an earlier row; give one each")
    columns = [name for name in truth.columns if name != ARCH]
    chosen = [name for name in columns if is_accuracy(str(name))] or [
        name for name in columns if is_numeric_dtype(truth[name]) and not is_bool_dtype(truth[name])
    ]
    aligned: pd.DataFrame = truth.set_index(ARCH)[chosen].reindex(candidates)
    return aligned


def _numbers(column: str, cells: pd.Series[Any]) -> npt.NDArray[np.float64]:
    import pandas as pd

    try:
        numbers: npt.NDArray[np.float64] = pd.to_numeric(cells).to_numpy("float64", na_value=np.nan)
    except (ValueError, TypeError) as error:
        raise ValueError(f"truth column {column!r} holds no numbers ({error})") from None
    if np.isinf(numbers).any():
        row = int(np.isinf(numbers).argmax())
        raise ValueError(
            f"truth column {column!r} is infinite in row {row}; give a number, or NaN where it was "
            "not measured"
        )
    return numbers


def _agreement(
    scores: npt.NDArray[np.float64],
    accuracies: npt.NDArray[np.float64],
    confidence: float,
    n_resamples: int,
    seed: int,
) -> dict[str, Any]:
    valid = np.isfinite(scores) & np.isfinite(accuracies)
    scores, accuracies = scores[valid], accuracies[valid]
    n = len(scores)
    result: dict[str, Any] = {"n": n}
    point = _statistics(scores, accuracies)
    drawn = np.full((1, len(_STATISTICS)), np.nan)
    reason = _undefined(scores, accuracies)
    if not reason:
        resamples = np.random.default_rng(seed).integers(n, size=(n_resamples, n))
        drawn = np.array([_statistics(scores[rows], accuracies[rows]) for rows in resamples])
    tail = (1 - confidence) / 2
    for column, name in enumerate(_STATISTICS):
        finite = drawn[np.isfinite(drawn[:, column]), column]
        low, high = np.quantile(finite, [tail, 1 - tail]) if len(finite) else (np.nan, np.nan)
        result |= {name: point[column], f"{name}_low": float(low), f"{name}_high": float(high)}
    return result | {"reason": reason}


def _undefined(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> str:
    """Why there is no coefficient; empty where there is one."""
    if len(x) < _LEAST:
        return f"{len(x)} candidates have score and accuracy, {_LEAST} are needed"
    for what, values in (("scores", x), ("accuracies", y)):
        if np.ptp(values) == 0:
            return f"all {len(values)} {what} are equal"
    return ""


def _statistics(
    x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]
) -> tuple[float, float, float]:
    from scipy import stats

    if _undefined(x, y):
        return np.nan, np.nan, np.nan
    tau = stats.kendalltau(x, y, method="asymptotic").statistic
    rho = stats.spearmanr(x, y).statistic
    return float(tau), float(rho), float(stats.pearsonr(x, y).statistic)
