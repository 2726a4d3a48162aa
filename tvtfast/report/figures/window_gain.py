"""What choosing by a score gains inside a budget."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from tvtfast.common.accuracies import is_accuracy
from tvtfast.report.baselines import baselines, ordered_proxies
from tvtfast.report.figures.canvas import (
    BLUE,
    INK,
    LABEL,
    MUTED,
    SMALL,
    TITLE,
    fitted,
    grid_shape,
    new_figure,
    style,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def window_gain_figure(correlations: pd.DataFrame) -> Figure:
    """Gain over the mean of a budget window by proxy with its interval, one panel per truth column,
    the share of the possible gain beside every bar.

    Args:
        correlations: One row per proxy and truth column: ``proxy``, ``truth``, ``kind``, ``gain``,
            ``gain_low``, ``gain_high`` and ``gain_share``.
    """
    proxies, free = ordered_proxies(correlations), baselines(correlations)
    truths = list(correlations["truth"].unique())
    rows, columns = grid_shape(len(truths), max_columns=3)
    figure = new_figure(1.6 + 2.3 * columns, 0.2 + rows * (0.75 + 0.24 * len(proxies)))
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for axes, name in zip(grid.flat, truths, strict=False):
        _panel(axes, correlations[correlations["truth"] == name].set_index("proxy"), proxies, free)
        size = fitted(str(name), 23, TITLE)
        axes.set_title(str(name), loc="left", fontsize=size, color=INK, fontweight="bold")
    for axes in grid.flat[len(truths) :]:
        axes.remove()
    unit = "points" if all(map(is_accuracy, truths)) else "units of the column"
    label = f"gain over the mean of the window ({unit}), and share of the possible gain"
    figure.supxlabel(label, fontsize=LABEL, color=INK)
    grid[0, 0].set_yticks(range(len(proxies)), proxies)
    grid[0, 0].set_ylim(len(proxies) - 0.5, -0.5)
    return figure


def _panel(axes: Axes, rows: pd.DataFrame, proxies: list[str], free: list[str]) -> None:
    style(axes, grid="x")
    axes.tick_params(axis="y", length=0)
    axes.locator_params(axis="x", nbins=4)
    axes.axvline(0, color=MUTED, linewidth=0.8)
    for position, proxy in enumerate(proxies):
        if proxy not in rows.index:
            continue
        row = rows.loc[proxy]
        color = MUTED if proxy in free else BLUE
        if pd.notna(row["gain"]):
            axes.barh(position, row["gain"], height=0.6, color=color)
            axes.plot([row["gain_low"], row["gain_high"]], [position] * 2, color=INK, linewidth=1)
        axes.text(
            1.02,
            position,
            f"{row['gain_share']:.0%}" if pd.notna(row["gain_share"]) else "–",
            transform=axes.get_yaxis_transform(),
            va="center",
            fontsize=SMALL,
            color=INK,
        )
