"""Figures of a correlation study: every proxy against every accuracy, and tau with intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tvtfast.common.accuracies import is_accuracy
from tvtfast.report.baselines import COUNTS, baselines, ordered_proxies
from tvtfast.report.figures.canvas import (
    BLUE,
    INK,
    LABEL,
    MANY,
    MUTED,
    SMALL,
    TITLE,
    VERMILLION,
    fitted,
    grid_shape,
    new_figure,
    spans_decades,
    style,
)
from tvtfast.report.formatting import axis_name, correlation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_APART = 0.16
"""Between the bars of tau and of partial tau and the middle of their row."""


def correlation_scatter_figure(
    frame: pd.DataFrame, truth: pd.DataFrame, correlations: pd.DataFrame
) -> Figure:
    """One panel per accuracy (rows) and proxy (columns), tau and its interval above each.

    Args:
        frame: One column of values per proxy that is drawn.
        truth: Accuracy columns in percent, or other columns, same index; NaN where a candidate was
            not trained.
        correlations: One row per proxy and truth column: ``proxy``, ``truth``, ``kind``, ``tau``,
            ``tau_low``, ``tau_high``.
    """
    free = baselines(correlations)
    proxies = [name for name in ordered_proxies(correlations) if name in frame]
    columns = list(truth.columns)
    cell = correlations.set_index(["proxy", "truth"])
    figure = new_figure(0.7 + 1.75 * len(proxies), 0.5 + 1.6 * len(columns))
    grid = figure.subplots(len(columns), len(proxies), sharex="col", sharey="row", squeeze=False)
    for column, proxy in enumerate(proxies):
        values = frame[proxy].to_numpy(dtype=float)
        for row, name in enumerate(columns):
            axes = grid[row, column]
            style(axes)
            if (proxy, name) in cell.index:
                axes.set_title(_interval(cell.loc[(proxy, name)]), fontsize=SMALL, color=INK, pad=3)
            _points(axes, values, truth[name].to_numpy(dtype=float), proxy in free)
        _proxy_axis(grid[-1, column], proxy, values, proxy in free)
    for row, name in enumerate(columns):
        size = fitted(str(name), 22, SMALL)
        unit = "\naccuracy (%)" if is_accuracy(str(name)) else ""
        grid[row, 0].set_ylabel(f"{name}{unit}", fontsize=size)
    return figure


def _interval(row: pd.Series[Any]) -> str:
    tau, low, high = (correlation(row[name]) for name in ("tau", "tau_low", "tau_high"))
    return f"τ {tau} [{low}, {high}]"


def _points(
    axes: Axes, values: npt.NDArray[np.float64], accuracy: npt.NDArray[np.float64], baseline: bool
) -> None:
    both = np.isfinite(values) & np.isfinite(accuracy)
    crowded = both.sum() > MANY
    axes.scatter(
        values[both],
        accuracy[both],
        s=3 if crowded else 10,
        color=MUTED if baseline else BLUE,
        alpha=0.25 if crowded else 0.55,
        linewidths=0,
        rasterized=crowded,
    )


def _proxy_axis(axes: Axes, proxy: str, values: npt.NDArray[np.float64], baseline: bool) -> None:
    from matplotlib.ticker import EngFormatter

    finite = values[np.isfinite(values)]
    if len(finite) and spans_decades(finite):
        axes.set_xscale("log")
    else:
        axes.locator_params(axis="x", nbins=3)
        if proxy in COUNTS:
            axes.xaxis.set_major_formatter(EngFormatter())
    name = axis_name(proxy)
    label = f"{name}\n(baseline)" if baseline else name
    axes.set_xlabel(label, fontsize=fitted(name, 22, SMALL))


def tau_figure(correlations: pd.DataFrame) -> Figure:
    """Kendall's tau with its interval per proxy, and below it the partial tau given the parameter
    count, one panel per truth column.

    Baselines stand apart below the proxies on grey; the dashed line is the best tau of theirs.

    Args:
        correlations: One row per proxy and truth column: ``proxy``, ``truth``, ``kind``, ``tau``
            and ``tau_given_params``, each with ``_low`` and ``_high``.
    """
    proxies, free = ordered_proxies(correlations), baselines(correlations)
    truths = list(correlations["truth"].unique())
    rows, columns = grid_shape(len(truths), max_columns=3)
    figure = new_figure(1.6 + 2.3 * columns, 0.2 + rows * (0.75 + 0.3 * len(proxies)))
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes, name in zip(grid.flat, truths, strict=False):
        rows_of = correlations[correlations["truth"] == name].set_index("proxy")
        _tau_panel(axes, rows_of, proxies, free)
        size = fitted(str(name), 23, TITLE)
        axes.set_title(str(name), loc="left", fontsize=size, color=INK, fontweight="bold")
    for axes in grid.flat[len(truths) :]:
        axes.remove()
    label = "Kendall's τ (filled), and partial τ given params (open)"
    figure.supxlabel(label, fontsize=LABEL, color=INK)
    grid[0, 0].set_yticks(range(len(proxies)), proxies)
    grid[0, 0].set_ylim(len(proxies) - 0.5, -0.5)
    return figure


def _tau_panel(axes: Axes, rows: pd.DataFrame, proxies: list[str], free: list[str]) -> None:
    style(axes, grid="x")
    axes.tick_params(labelbottom=True)
    axes.tick_params(axis="y", length=0)
    first_baseline = len(proxies) - len(free)
    if first_baseline < len(proxies):
        axes.axhspan(first_baseline - 0.5, len(proxies) - 0.5, color=MUTED, alpha=0.12, linewidth=0)
        best = float(rows["tau"].reindex(proxies[first_baseline:]).max())
        if np.isfinite(best):
            axes.axvline(best, color=VERMILLION, linewidth=1, linestyle=(0, (4, 3)))
    axes.axvline(0, color=MUTED, linewidth=0.8)
    for position, proxy in enumerate(proxies):
        if proxy not in rows.index:
            continue
        row = rows.loc[proxy]
        color, marker = (INK, "s") if proxy in free else (BLUE, "o")
        for name, height, face in (
            ("tau", position - _APART, color),
            ("tau_given_params", position + _APART, "white"),
        ):
            ends = [row[f"{name}_low"], row[f"{name}_high"]]
            axes.plot(ends, [height] * 2, color=color, linewidth=1.3)
            axes.plot(
                row[name],
                height,
                marker=marker,
                markersize=4,
                color=color,
                markerfacecolor=face,
            )
        axes.text(
            1.02,
            position,
            f"{correlation(row['tau'])} / {correlation(row['tau_given_params'])}",
            transform=axes.get_yaxis_transform(),
            va="center",
            fontsize=SMALL,
            color=color,
        )
