"""What the tables of a search report say: size bias, failures, the winner in every proxy."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from tvtfast.report.content import SearchReport
from tvtfast.report.formatting import candidates, number


@dataclass(frozen=True)
class SizeBias:
    """Kendall's tau-b between one score, oriented so that more is better, and parameter count.

    Attributes:
        name: Proxy or combined score.
        tau: In -1..1; NaN where either side is constant or fewer than two values are finite.
        n: Candidates with a finite value.
        reading: What the coefficient says, in words.
    """

    name: str
    tau: float
    n: int
    reading: str


def size_biases(report: SearchReport) -> list[SizeBias]:
    """Size bias of the combined score, then of every proxy."""
    scores = [(report.score_name, report.score.to_numpy(dtype=float))]
    for proxy in report.proxies:
        sign = 1.0 if report.higher_is_better[proxy] else -1.0
        scores.append((proxy, sign * report.frame[proxy].to_numpy(dtype=float)))
    params = report.frame["params"].to_numpy(dtype=float)
    return [_size_bias(name, values, params) for name, values in scores]


def _size_bias(
    name: str, values: npt.NDArray[np.float64], params: npt.NDArray[np.float64]
) -> SizeBias:
    from scipy.stats import kendalltau

    finite = np.isfinite(values)
    n = int(finite.sum())
    tau = math.nan
    if n >= 2 and np.ptp(values[finite]) > 0 and np.ptp(params[finite]) > 0:
        tau = float(kendalltau(values[finite], params[finite]).statistic)
    return SizeBias(name, tau, n, _size_reading(tau))


def _size_reading(tau: float) -> str:
    if math.isnan(tau):
        return "not defined: fewer than two values, or all alike"
    kind = "larger" if tau > 0 else "smaller"
    if abs(tau) >= 0.8:
        return "in effect counts parameters" if tau > 0 else "in effect counts parameters, reversed"
    if abs(tau) >= 0.5:
        return f"largely prefers {kind} candidates"
    if abs(tau) >= 0.2:
        return f"leans towards {kind} candidates"
    return "nearly independent of size"


def failures(report: SearchReport) -> pd.DataFrame:
    """Cells without a value per proxy and status: rows are proxies, columns statuses.

    Only proxies with a failure and statuses that occur are listed, so the table may be empty.
    """
    counts = pd.DataFrame(
        {proxy: report.status[proxy].value_counts() for proxy in report.proxies}
    ).T.drop(columns=["ok", "partial", "infeasible"], errors="ignore")
    failed: pd.DataFrame = counts[counts.sum(axis=1) > 0].fillna(0).astype(int)
    return failed


def unranked_reason(report: SearchReport) -> str:
    """Why no candidate has a finite combined score, as far as statuses and values tell."""
    opening = f"None of {candidates(len(report.frame))} has a finite {report.score_name}."
    table = failures(report)
    if not table.empty:
        cells = "; ".join(
            f"{proxy}: " + ", ".join(f"{int(n):,} {status}" for status, n in row.items() if n)
            for proxy, row in table.iterrows()
        )
        return f"{opening} Cells that failed: {cells}."
    constant = [proxy for proxy in report.proxies if report.frame[proxy].nunique() == 1]
    if constant:
        return (
            f"{opening} Every cell is ok, but the values of {', '.join(constant)} are all alike "
            "and give no order."
        )
    return f"{opening} Every cell is ok, so it was lost where the proxies were combined."


def winner_proxies(report: SearchReport) -> list[tuple[str, str, str]]:
    """Name, value and rank (``3 of 200``) of the winner in every proxy."""
    winner = report.winner
    rows = []
    for proxy in report.proxies:
        values = report.frame[proxy].to_numpy(dtype=float)
        rows.append((proxy, number(values[winner]), proxy_rank(report, proxy, winner)))
    return rows


def proxy_rank(report: SearchReport, proxy: str, row: int) -> str:
    """``3 of 200``: rank of one row among the finite values of a proxy; ties share the best."""
    values = report.frame[proxy].to_numpy(dtype=float)
    if not np.isfinite(values[row]):
        return "not scored"
    finite = values[np.isfinite(values)]
    better = finite > values[row] if report.higher_is_better[proxy] else finite < values[row]
    return f"{1 + int(better.sum()):,} of {len(finite):,}"
