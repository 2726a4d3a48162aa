"""Figure of a family of models that grew from one topology."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from tvtfast.report.figures.canvas import (
    BLUE,
    INK,
    ORANGE,
    SMALL,
    VERMILLION,
    grid_shape,
    new_figure,
    spans_decades,
    style,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_STAGES = (BLUE, ORANGE, VERMILLION, INK)


def growth_figure(models: pd.DataFrame, higher_is_better: Mapping[str, bool]) -> Figure:
    """Blocks of all stages (stacked), width, and every proxy against the number of parameters.

    Args:
        models: One row per model, smallest first: ``params``, ``width``, ``depths`` (such as
            ``3-1-4-2``) and every proxy.
        higher_is_better: Direction of every proxy.

    Raises:
        ValueError: No models.
    """
    from matplotlib.ticker import EngFormatter, MaxNLocator

    if not len(models):
        raise ValueError("there are no models to draw; give at least one row")
    rows, columns = grid_shape(2 + len(higher_is_better), max_columns=2)
    figure = new_figure(7.2, 0.4 + 2.4 * rows)
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    params = models["params"].to_numpy(dtype=float)
    depths = np.array([[int(d) for d in text.split("-")] for text in models["depths"]])
    stages = depths.shape[1]
    grid[0].stackplot(
        params,
        depths.T,
        step="post",
        labels=[f"stage {stage}" for stage in range(1, stages + 1)],
        colors=[_STAGES[stage % len(_STAGES)] for stage in range(stages)],
        alpha=0.7,
        linewidth=0,
    )
    grid[0].legend(frameon=False, fontsize=SMALL, labelcolor=INK, loc="upper left", reverse=True)
    grid[0].yaxis.set_major_locator(MaxNLocator(integer=True))
    grid[0].set_ylabel("Blocks")
    grid[1].plot(params, models["width"], ".-", color=BLUE)
    grid[1].set_ylabel("Width")
    for axes, (name, higher) in zip(grid[2:], higher_is_better.items(), strict=False):
        values = models[name].to_numpy(dtype=float)
        axes.plot(params, values, ".-", color=BLUE)
        axes.set_ylabel(f"{name} {'↑' if higher else '↓'}")
        if spans_decades(values):
            axes.set_yscale("log")
    for axes in grid[2 + len(higher_is_better) :]:
        axes.remove()
    for axes in grid[: 2 + len(higher_is_better)]:
        axes.xaxis.set_major_formatter(EngFormatter())
        axes.set_xlabel("Parameters")
        style(axes)
    return figure
