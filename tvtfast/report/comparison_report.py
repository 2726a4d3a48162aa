"""The HTML page of two runs side by side."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tvtfast.report.baselines import COUNTS
from tvtfast.report.figures.comparison import comparison_figure
from tvtfast.report.formatting import MISSING, count, number
from tvtfast.report.html import picture, render
from tvtfast.report.pages import write_page

_NAMES = ("first", "second")
_COUNTERS = ("generation", "evaluations", "epoch", "step")
"""Columns that count the lines, and show nothing as a curve."""


@dataclass(frozen=True)
class ComparisonReport:
    """Everything the page of two runs prints; of every pair the first run's part comes first.

    Attributes:
        folders: Of the runs.
        facts: By name what is said of both, in words: status, wall time.
        settings: By name the settings that differ, as text.
        best: By name what the runs ended with; ``None`` where a run has no such value.
        curves: By name a number per population or epoch.
        reports: Addresses of the runs' own reports, relative to the page; ``None`` where one has
            none.
    """

    folders: tuple[str, str]
    facts: Mapping[str, tuple[str, str]]
    settings: Mapping[str, tuple[str, str]]
    best: Mapping[str, tuple[float | None, float | None]]
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]]
    reports: tuple[str | None, str | None]


def write_comparison_report(report: ComparisonReport, path: str | os.PathLike[str]) -> Path:
    """Write a page that needs nothing else, and its figure beside it as ``<name>-curves.png``. With
    ``plotly.min.js`` beside it, the figure zooms.

    Args:
        report: What to print.
        path: The page; its folder is made where needed. Earlier files are replaced as a whole, or
            kept when writing fails.

    Returns:
        ``path``.
    """
    path = Path(path)
    curves = {
        name: pair
        for name, pair in report.curves.items()
        if name not in _COUNTERS and all(map(len, pair))
    }
    drawn = picture(comparison_figure(curves, _NAMES)) if curves else None
    page = render(
        "comparison.html.j2",
        report=report,
        names=_NAMES,
        curves=drawn,
        curve_names=list(curves),
        best=[
            (name, *(_shown(name, value) for value in (*pair, _more(*pair))))
            for name, pair in report.best.items()
        ],
    )
    pictures = {} if drawn is None else {f"{path.stem}-curves": drawn}
    return write_page(path.parent, path.name, page, pictures)


def _shown(name: str, value: float | None) -> str:
    if value is None:
        return MISSING
    return count(value) if name in COUNTS else number(value)


def _more(first: float | None, second: float | None) -> float | None:
    """How much more the second run has."""
    return None if first is None or second is None else second - first
