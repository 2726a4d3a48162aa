"""Attention maps of networks over the images they were computed on."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tvtfast.report.content import AttentionPanel
from tvtfast.report.figures.canvas import INK, LABEL, SMALL, grid_shape, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

_COLORMAP = "magma"
_OPACITY = 0.65
_LUMA = np.array([0.299, 0.587, 0.114])
_CAPTION = 15


def attention_maps_figure(panel: AttentionPanel) -> Figure:
    """Every sample image with the maps of all networks below it, on one colour scale.

    A map of L2 norm 1 over N positions is multiplied by sqrt(N), so that 1 stands for the uniform
    map whatever the grid, and the two networks can be compared. The scale ends at the 99.5th
    percentile of all values. Maps are interpolated bilinearly.
    """
    networks = [_relative(maps) for maps in panel.maps.values()]
    limit = float(np.quantile(np.concatenate([maps.ravel() for maps in networks]), 0.995))
    rows = 1 + len(networks)
    bands, columns = grid_shape(len(panel.images), max_columns=6)
    cell = 1.0 if columns > 3 else 1.5
    figure = new_figure(2.0 + cell * columns, bands * (rows * cell + 0.3))
    figure.set_layout_engine("compressed")
    grid = figure.subplots(rows * bands, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for index, (image, label) in enumerate(zip(panel.images, panel.labels, strict=True)):
        band, column = divmod(index, columns)
        top, *below = grid[rows * band : rows * (band + 1), column]
        top.imshow(np.clip(image, 0, 1))
        top.set_title(_caption(label), fontsize=SMALL, color=INK, pad=3)
        for axes, maps in zip(below, networks, strict=True):
            overlay = _overlay(axes, image, maps[index], limit)
    names = ["image", *(textwrap.fill(name, _CAPTION) for name in panel.maps)]
    for row, axes in enumerate(grid[:, 0]):
        axes.text(
            -0.1,
            0.5,
            names[row % rows],
            transform=axes.transAxes,
            ha="right",
            va="center",
            fontsize=LABEL,
            color=INK,
        )
    bar = figure.colorbar(overlay, ax=grid, shrink=0.7, aspect=24, extend="max", pad=0.02)
    bar.set_label("attention (1 = uniform map)", fontsize=LABEL, color=INK)
    bar.ax.tick_params(labelsize=SMALL, labelcolor=INK)
    return figure


def _relative(maps: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.floating[Any]]:
    return np.asarray(maps * np.sqrt(maps.shape[1] * maps.shape[2]))


def _caption(label: str) -> str:
    return label if len(label) <= _CAPTION else label[: _CAPTION - 1] + "…"


def _overlay(
    axes: Axes,
    image: npt.NDArray[np.floating[Any]],
    attention: npt.NDArray[np.floating[Any]],
    limit: float,
) -> AxesImage:
    height, width = image.shape[:2]
    axes.imshow(np.clip(image, 0, 1) @ _LUMA, cmap="gray", vmin=0, vmax=1)
    return axes.imshow(
        attention,
        cmap=_COLORMAP,
        vmin=0,
        vmax=max(limit, 1.0),
        alpha=_OPACITY,
        interpolation="bilinear",
        extent=(-0.5, width - 0.5, height - 0.5, -0.5),
    )
