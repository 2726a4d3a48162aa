"""Figures without pyplot, in one style."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#24292f"
MUTED = "#6e7781"
GRID = "#d8dee4"
BLUE = "#0072b2"
ORANGE = "#e69f00"
VERMILLION = "#d55e00"

TITLE, LABEL, SMALL = 9.5, 9.0, 8.0
"""Font sizes in points."""

MANY = 2000
"""Points beyond which markers shrink and vector output holds them as one bitmap."""

DPI = 200
"""Pixels per inch of a figure's file."""

CSS_PIXELS_PER_INCH = 115
"""How large a figure is on a page."""

_LABELS: WeakKeyDictionary[Artist, tuple[str, ...]] = WeakKeyDictionary()


def new_figure(width: float, height: float) -> Figure:
    """An empty white figure of ``width`` x ``height`` inches with its own Agg canvas."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def png(figure: Figure) -> bytes:
    """The figure as PNG; equal figures give equal bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def label_points(points: Artist, labels: Sequence[str]) -> None:
    """Say what every point of a series is; a page tells it where the pointer is."""
    _LABELS[points] = tuple(labels)


def labels_of(points: Artist) -> tuple[str, ...]:
    """What `label_points` has said of a series; empty where it has said nothing."""
    return _LABELS.get(points, ())


def legend_above(axes: Axes, columns: int) -> None:
    """Name the series above the panel, from its left side, so many in a row."""
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=columns,
        frameon=False,
        fontsize=LABEL,
        labelcolor=INK,
    )


def style(axes: Axes, grid: str = "both") -> None:
    """Open frame, quiet ticks and a faint grid along ``grid`` (``both``, ``x`` or ``y``)."""
    axes.set_facecolor("white")
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(colors=MUTED, labelcolor=INK, labelsize=SMALL, length=3)
    axes.set_axisbelow(True)
    if grid in ("both", "x"):
        axes.xaxis.grid(True, color=GRID, linewidth=0.6)
    if grid in ("both", "y"):
        axes.yaxis.grid(True, color=GRID, linewidth=0.6)
    for text in (axes.xaxis.label, axes.yaxis.label):
        text.set_fontsize(LABEL)
        text.set_color(INK)


def fitted(text: str, characters: int, size: float) -> float:
    """Font size at which ``text`` takes no more room than ``characters`` letters of ``size``."""
    return size * min(1.0, characters / max(len(text), 1))


def message(axes: Axes, text: str) -> None:
    """Say in the middle of empty axes why there is nothing to see."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.text(
        0.5,
        0.5,
        text,
        transform=axes.transAxes,
        ha="center",
        va="center",
        color=MUTED,
        fontsize=SMALL,
    )


def is_constant(values: npt.NDArray[np.float64]) -> bool:
    """Whether finite ``values`` differ by no more than rounding."""
    return bool(np.ptp(values) <= 1e-12 * np.abs(values).max())


def spans_decades(values: npt.NDArray[np.float64]) -> bool:
    """Whether positive ``values`` cover so wide a range that only a logarithmic axis shows them."""
    return bool(values.min() > 0 and math.log10(values.max()) - math.log10(values.min()) > 3)


def grid_shape(panels: int, max_columns: int) -> tuple[int, int]:
    """Rows and columns of a grid for ``panels`` panels, filled as evenly as possible."""
    rows = math.ceil(panels / max_columns)
    return rows, math.ceil(panels / rows)
