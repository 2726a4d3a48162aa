"""Figures of how a search went: its progress, and the Pareto front it arrived at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tvtfast.report.architecture import compact
from tvtfast.report.baselines import COUNTS
from tvtfast.report.content import SearchReport
from tvtfast.report.figures.canvas import (
    BLUE,
    INK,
    MANY,
    ORANGE,
    VERMILLION,
    grid_shape,
    label_points,
    legend_above,
    new_figure,
    style,
)
from tvtfast.report.formatting import axis_name

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SCORES = ("best", "mean")
_COUNTERS = ("generation", "evaluations")


def trace_figure(trace: pd.DataFrame, score_name: str) -> Figure:
    """Best and mean score of every population against what was scored until then, and below it the
    further columns of the trace.

    Args:
        trace: See `SearchReport`.
        score_name: Name of the score.
    """
    further = [name for name in trace.columns if name not in (*_SCORES, *_COUNTERS)]
    figure = new_figure(7.2, 3.0 + 1.6 * len(further))
    heights = [2.0] + [1.0] * len(further)
    panels = figure.subplots(
        1 + len(further), 1, squeeze=False, sharex=True, gridspec_kw={"height_ratios": heights}
    )[:, 0]
    scores, *rest = panels
    scores.set_ylabel(score_name)
    generations = trace["generation"].to_numpy()
    scores.plot(generations, trace["best"], color=VERMILLION, linewidth=1.6, label="best so far")
    scores.plot(
        generations, trace["mean"], ".", color=BLUE, markersize=4, label="mean of generation"
    )
    legend_above(scores, 2)
    for axes, name in zip(rest, further, strict=True):
        axes.plot(generations, trace[name], color=ORANGE, linewidth=1.4)
        axes.set_ylabel(name)
    panels[-1].set_xlabel("Generation")
    for axes in panels:
        axes.locator_params(axis="y", nbins=4)
        style(axes)
    return figure


def front_figure(report: SearchReport) -> Figure:
    """The first objective against each of the others; the Pareto front is marked.

    Raises:
        ValueError: Fewer than two objectives, which have no front to draw.
    """
    names = list(report.objectives)
    if len(names) < 2:
        raise ValueError(f"a front is drawn of two objectives or more, got {names}")
    rows, columns = grid_shape(len(names) - 1, max_columns=2)
    figure = new_figure(7.2 if columns > 1 else 5.6, 0.4 + 3.2 * rows)
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes, other in zip(grid, names[1:], strict=False):
        _trade_off(axes, report, names[0], other)
    for axes in grid[len(names) - 1 :]:
        axes.remove()
    return figure


def _trade_off(axes: Axes, report: SearchReport, first: str, other: str) -> None:
    from matplotlib.ticker import EngFormatter

    y, x = (report.frame[name].to_numpy(dtype=float) for name in (first, other))
    front = list(report.front)
    rest = np.setdiff1d(np.arange(len(x)), front)
    crowded = len(rest) > MANY
    archs = [compact(arch) for arch in report.frame["arch"]]
    drawn = axes.scatter(
        x[rest],
        y[rest],
        s=6 if crowded else 16,
        color=BLUE,
        alpha=0.3,
        linewidths=0,
        rasterized=crowded,
    )
    label_points(drawn, [archs[row] for row in rest])
    drawn = axes.scatter(
        x[front], y[front], s=30, marker="D", color=ORANGE, edgecolors=INK, linewidths=0.6, zorder=3
    )
    label_points(drawn, [archs[row] for row in front])
    axes.set_xlabel(_directed(report, other))
    axes.set_ylabel(_directed(report, first))
    axes.margins(0.05)
    axes.locator_params(axis="x", nbins=6)
    for axis, name in ((axes.xaxis, other), (axes.yaxis, first)):
        if name in COUNTS:
            axis.set_major_formatter(EngFormatter())
    style(axes)


def _directed(report: SearchReport, name: str) -> str:
    return f"{axis_name(name)}, {'higher' if report.objectives[name] else 'lower'} is better"
