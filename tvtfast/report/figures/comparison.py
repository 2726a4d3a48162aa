"""Curves of two runs, one over the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tvtfast.report.figures.canvas import (
    BLUE,
    VERMILLION,
    grid_shape,
    legend_above,
    new_figure,
    spans_decades,
    style,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def comparison_figure(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]], names: tuple[str, str]
) -> Figure:
    """One panel per curve: its values in the order they were written, the first run solid and the
    second dashed.

    Args:
        curves: By what they show, the values of both runs; lengths may differ.
        names: What the runs are called.

    Raises:
        ValueError: No curves.
    """
    if not curves:
        raise ValueError("there are no curves to draw; give at least one that both runs have")
    rows, columns = grid_shape(len(curves), max_columns=2)
    figure = new_figure(7.2, 0.5 + 2.3 * rows)
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    looks = ((VERMILLION, "-"), (BLUE, "--"))
    for axes, (what, pair) in zip(grid, curves.items(), strict=False):
        for values, name, (color, dash) in zip(pair, names, looks, strict=True):
            marker = "o" if len(values) == 1 else None
            steps = range(1, len(values) + 1)
            label = name if axes is grid[0] else None
            axes.plot(steps, values, dash, color=color, linewidth=1.6, marker=marker, label=label)
        axes.set_ylabel(what)
        axes.set_xlabel("Line of the log")
        axes.locator_params(axis="x", integer=True)
        together = np.array([*pair[0], *pair[1]], dtype=float)
        if np.isfinite(together).all() and spans_decades(together):
            axes.set_yscale("log")
        style(axes)
    for axes in grid[len(curves) :]:
        axes.remove()
    legend_above(grid[0], 2)
    return figure
