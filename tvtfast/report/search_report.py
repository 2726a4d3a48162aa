"""The HTML report of one search."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tvtfast.report.analysis import failures, size_biases, unranked_reason, winner_proxies
from tvtfast.report.architecture import ArchView, arch_view, compact
from tvtfast.report.content import SearchReport
from tvtfast.report.figures.attention import attention_maps_figure
from tvtfast.report.figures.course import front_figure, trace_figure
from tvtfast.report.figures.policy import policy_figure
from tvtfast.report.figures.search import (
    score_distributions_figure,
    score_vs_params_figure,
    timings_figure,
)
from tvtfast.report.formatting import MISSING, rate
from tvtfast.report.html import photo, picture, render
from tvtfast.report.pages import write_page

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FRONT = 20


@dataclass(frozen=True)
class _Candidate:
    rank: int | str
    mark: str
    params: int
    flops: int
    macs: int
    proxies: tuple[float, ...]
    score: float
    arch: str


@dataclass(frozen=True)
class _Winner:
    params: int
    flops: int
    macs: int
    score: float
    place: str
    smaller: float
    arch: ArchView
    proxies: list[tuple[str, str, str]]


def write_search_report(
    report: SearchReport, folder: str | os.PathLike[str], top_k: int = 10
) -> Path:
    """Write ``report.html``, a page that needs nothing else, and its figures as PNG files.

    Files: ``report.html``, ``score_vs_params.png``, ``score_distributions.png``, and where the
    report has them ``trace.png``, ``policy.png``, ``front.png``, ``attention_maps.png`` and
    ``timings.png``. With ``plotly.min.js``, which is put beside the page, its figures zoom, and say
    what is under the pointer. The folder is made where needed; an earlier report in it is replaced
    as a whole, or kept when writing fails.

    Args:
        report: What to print.
        folder: Where to write.
        top_k: Candidates in the table and marked in the figure, the winner included.

    Returns:
        Path of ``report.html``.

    Raises:
        ValueError: ``top_k`` below 1.
    """
    if top_k < 1:
        raise ValueError(f"top_k={top_k}: give the number of candidates to list, at least 1")
    pictures = {name: picture(figure) for name, figure in _figures(report, top_k).items()}
    if report.attention is not None:
        pictures["attention_maps"] = photo(attention_maps_figure(report.attention))
    ranking = report.ranking
    places = {row: place for place, row in enumerate(ranking.tolist(), start=1)}
    table = failures(report)
    total = sum(report.timings.values())
    page = render(
        "report.html.j2",
        report=report,
        pictures=pictures,
        ranked=len(ranking),
        reason="" if len(ranking) else unranked_reason(report),
        top=[_candidate(report, places.get(row), row) for row in _top(report, top_k)],
        better=None if report.better is None else _candidate(report, 1, report.better),
        front=[_candidate(report, places.get(row), row) for row in _spread(report.front)],
        winner=_winner(report) if len(ranking) else None,
        biases=size_biases(report),
        failures=[(proxy, list(row)) for proxy, row in table.iterrows()],
        statuses=list(table.columns),
        stages=[
            (name, spent, spent / total if total else 0.0, rate(len(report.frame), spent))
            for name, spent in [*report.timings.items(), ("total", total)]
        ],
    )
    return write_page(folder, "report.html", page, pictures)


def _figures(report: SearchReport, top_k: int) -> dict[str, Figure]:
    figures = {
        "score_vs_params": score_vs_params_figure(report, top_k),
        "score_distributions": score_distributions_figure(report),
    }
    if report.trace is not None and len(report.trace) > 1 and len(report.ranking):
        figures["trace"] = trace_figure(report.trace, report.score_name)
    if report.policy is not None:
        figures["policy"] = policy_figure(report.policy)
    if report.front and len(report.objectives) > 1:
        figures["front"] = front_figure(report)
    if report.timings:
        figures["timings"] = timings_figure(report.timings, len(report.frame))
    return figures


def _top(report: SearchReport, top_k: int) -> list[int]:
    """The best, and the answer of the strategy where that is none of them."""
    rows: list[int] = report.ranking[:top_k].tolist()
    extra = [] if report.answer is None or report.answer in rows else [report.answer]
    return [*rows, *extra]


def _marks(report: SearchReport) -> dict[int, str]:
    """What rows are called where the answer of the strategy is not the best score."""
    if report.better is None:
        return {}
    return {report.better: "best score", report.winner: "answer"}


def _spread(front: tuple[int, ...]) -> list[int]:
    """A front to print: its ends, and evenly what lies between, `_FRONT` at most."""
    picked = np.linspace(0, len(front) - 1, min(len(front), _FRONT)).round().astype(int)
    return [front[index] for index in picked]


def _candidate(report: SearchReport, rank: int | None, row: int) -> _Candidate:
    values = report.frame.iloc[row]
    return _Candidate(
        rank=MISSING if rank is None else rank,
        mark=_marks(report).get(row, ""),
        params=values["params"],
        flops=values["flops"],
        macs=values["macs"],
        proxies=tuple(float(values[proxy]) for proxy in report.proxies),
        score=float(report.score.iloc[row]),
        arch=compact(values["arch"]),
    )


def _winner(report: SearchReport) -> _Winner:
    row, ranking = report.winner, report.ranking.tolist()
    values = report.frame.iloc[row]
    place = f"best of {len(ranking):,}"
    if report.answer is not None:
        rank = f"{1 + ranking.index(row):,} of {len(ranking):,}" if row in ranking else "not ranked"
        place = f"the answer of the strategy; rank {rank}"
    return _Winner(
        params=values["params"],
        flops=values["flops"],
        macs=values["macs"],
        score=float(report.score.iloc[row]),
        place=place,
        smaller=float((report.frame["params"] < values["params"]).mean()),
        arch=arch_view(values["arch"]),
        proxies=winner_proxies(report),
    )
