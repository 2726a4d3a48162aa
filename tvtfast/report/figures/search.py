"""Figures of one search: score against size, distributions of every proxy, stage timings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from tvtfast.report.analysis import proxy_rank
from tvtfast.report.architecture import compact
from tvtfast.report.content import SearchReport
from tvtfast.report.figures.canvas import (
    BLUE,
    INK,
    MANY,
    MUTED,
    ORANGE,
    SMALL,
    TITLE,
    VERMILLION,
    fitted,
    grid_shape,
    is_constant,
    label_points,
    legend_above,
    message,
    new_figure,
    spans_decades,
    style,
)
from tvtfast.report.formatting import candidates, duration, rate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def score_vs_params_figure(report: SearchReport, top_k: int = 10) -> Figure:
    """Combined score against parameter count; the winner and the ``top_k`` best are marked."""
    from matplotlib.ticker import EngFormatter

    figure = new_figure(7.2, 4.2)
    axes = figure.add_subplot()
    axes.set_xlabel("Parameters")
    axes.set_ylabel(report.score_name)
    style(axes)
    ranking = report.ranking
    if not len(ranking):
        message(axes, "no candidate could be ranked")
        return figure
    params = report.frame["params"].to_numpy(dtype=float)
    score = report.score.to_numpy(dtype=float)
    winner = report.winner
    others = ranking[ranking != winner]
    best, rest = others[: top_k - 1], others[top_k - 1 :]
    crowded = len(rest) > MANY
    archs = [compact(arch) for arch in report.frame["arch"]]
    drawn = axes.scatter(
        params[winner],
        score[winner],
        s=190,
        marker="*",
        color=VERMILLION,
        edgecolors=INK,
        linewidths=0.7,
        label="winner",
        zorder=4,
    )
    label_points(drawn, [archs[winner]])
    if len(best):
        drawn = axes.scatter(
            params[best],
            score[best],
            s=34,
            marker="D",
            color=ORANGE,
            edgecolors=INK,
            linewidths=0.6,
            label=f"ranks 2 to {1 + len(best)}" if winner == ranking[0] else f"best {len(best)}",
            zorder=3,
        )
        label_points(drawn, [archs[row] for row in best])
    if len(rest):
        drawn = axes.scatter(
            params[rest],
            score[rest],
            s=6 if crowded else 18,
            color=BLUE,
            alpha=0.25 if crowded else 0.45,
            linewidths=0,
            rasterized=crowded,
        )
        label_points(drawn, [archs[row] for row in rest])
        # an empty series, since points made for a crowd are too faint for a legend
        axes.scatter([], [], s=18, color=BLUE, label=f"{candidates(len(rest))} below")
    axes.margins(0.05)
    axes.xaxis.set_major_formatter(EngFormatter())
    axes.locator_params(axis="x", nbins=7)
    legend_above(axes, 3)
    return figure


def score_distributions_figure(report: SearchReport) -> Figure:
    """Histogram of the finite values of every proxy, with the winner's value and rank."""
    rows, columns = grid_shape(max(len(report.proxies), 1), max_columns=3)
    figure = new_figure(4.2 if columns == 1 else 7.2, 0.3 + 2.1 * rows)
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes, proxy in zip(grid, report.proxies, strict=False):
        _histogram(axes, report, proxy)
    for axes in grid[len(report.proxies) :]:
        axes.remove()
    return figure


def _histogram(axes: Axes, report: SearchReport, proxy: str) -> None:
    values = report.frame[proxy].to_numpy(dtype=float)
    finite = values[np.isfinite(values)]
    size = fitted(proxy, 23, TITLE)
    axes.set_title(proxy, loc="left", fontsize=size, color=INK, fontweight="bold")
    style(axes, grid="y")
    note = "higher is better" if report.higher_is_better[proxy] else "lower is better"
    ranking = report.ranking
    if len(ranking):
        note += f"\nwinner: {proxy_rank(report, proxy, report.winner)}"
    axes.set_xlabel(note, fontsize=SMALL, color=MUTED)
    if not len(finite):
        message(axes, "no finite value")
        return
    if is_constant(finite):
        message(axes, f"all {len(finite):,} values are {finite[0]:.6g}")
        return
    bins = int(np.clip(np.sqrt(len(finite)), 8, 40))
    if spans_decades(finite):
        axes.set_xscale("log")
        axes.hist(
            finite, bins=np.geomspace(finite.min(), finite.max(), bins + 1).tolist(), color=BLUE
        )
    else:
        axes.hist(finite, bins=bins, color=BLUE)
        axes.locator_params(axis="x", nbins=4)
    axes.locator_params(axis="y", nbins=4, integer=True)
    if len(ranking) and np.isfinite(values[report.winner]):
        axes.axvline(values[report.winner], color=VERMILLION, linewidth=1.8)


def timings_figure(timings: Mapping[str, float], scored: int) -> Figure:
    """Seconds per stage as bars, each with the candidates per second it amounts to.

    Args:
        timings: Seconds per stage, in the order they ran.
        scored: Number of candidates.

    Raises:
        ValueError: No stages.
    """
    if not timings:
        raise ValueError("timings has no stages; give the seconds of at least one")
    figure = new_figure(7.2, 0.7 + 0.34 * len(timings))
    axes = figure.add_subplot()
    seconds = list(timings.values())
    bars = axes.barh(list(timings), seconds, color=BLUE, height=0.62)
    axes.bar_label(
        bars,
        [f"{duration(spent)}  ({rate(scored, spent)} candidates/s)" for spent in seconds],
        padding=4,
        fontsize=SMALL,
        color=INK,
    )
    axes.invert_yaxis()
    axes.set_xlim(0, 1.5 * max(*seconds, 1e-9))
    axes.set_xlabel("Seconds")
    style(axes, grid="x")
    return figure
