"""Figure of what a classifier takes for what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tvtfast.report.figures.canvas import INK, LABEL, MUTED, SMALL, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NAMED = 40
"""Classes up to which every row and column has its name."""
_LONGEST = 18
"""Letters of a name beyond which its end is left out."""
_NUMBERED = 12
"""Classes up to which every cell has its number."""


def confusion_figure(confusion: npt.NDArray[Any], classes: Sequence[str]) -> Figure:
    """Shares of the images of a class (row) that were taken for a class (column).

    The row of a class without images is hatched.

    Args:
        confusion: Counts ``[K, K]``.
        classes: K names.

    Raises:
        ValueError: Numbers of names and rows that differ.
    """
    count = len(classes)
    if confusion.shape != (count, count):
        raise ValueError(f"confusion is {confusion.shape} and there are {count} classes")
    sizes = confusion.sum(axis=1)
    shares = confusion / np.maximum(sizes, 1)[:, None]
    figure = new_figure(6.4, 5.6)
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    for row in np.flatnonzero(sizes == 0):
        axes.axhspan(row - 0.5, row + 0.5, facecolor="none", edgecolor=MUTED, hatch="///")
    if count <= _NAMED:
        names = [name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…" for name in classes]
        axes.set_xticks(range(count), names, rotation=90, parse_math=False)
        axes.set_yticks(range(count), names, parse_math=False)
    if count <= _NUMBERED:
        for row, column in np.argwhere(confusion > 0):
            ink = "white" if shares[row, column] > 0.5 else INK
            number = str(confusion[row, column])
            axes.text(column, row, number, ha="center", va="center", color=ink, fontsize=SMALL)
    axes.tick_params(colors=MUTED, labelcolor=INK, labelsize=SMALL, length=0)
    axes.set_xlabel("Predicted", fontsize=LABEL, color=INK)
    axes.set_ylabel("True class", fontsize=LABEL, color=INK)
    figure.colorbar(image, ax=axes, label="share of the class", shrink=0.8)
    return figure
