"""A tournament: who was trained for how long, and how good everybody was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tvtfast.report.figures.canvas import (
    BLUE,
    GRID,
    INK,
    MUTED,
    ORANGE,
    SMALL,
    VERMILLION,
    new_figure,
    style,
)
from tvtfast.report.tournament_content import Entrant

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def tournament_figure(entrants: Sequence[Entrant], epochs: Sequence[int]) -> Figure:
    """Held-out accuracy at the end of every rung against epochs, one line per finalist, which ends
    where it went; what was trained on for the comparison is dotted from there.

    Args:
        entrants: All that took part.
        epochs: At the end of every rung.

    Raises:
        ValueError: Nobody ended a rung.
    """
    if not any(one.accuracies for one in entrants):
        raise ValueError("no finalist ended a rung, there is nothing to draw")
    figure = new_figure(7.2, 4.2)
    axes = figure.add_subplot()
    for end in epochs:
        axes.axvline(end, color=GRID, linewidth=0.8, zorder=0)
    for one in sorted(entrants, key=_importance):
        color, width = _look(one)
        played = max(1, min(one.rungs, len(one.accuracies)))
        xs, ys = list(epochs[: len(one.accuracies)]), list(one.accuracies)
        axes.plot(
            xs[:played], ys[:played], "-o", color=color, linewidth=width, markersize=3 + width
        )
        axes.plot(xs[played - 1 :], ys[played - 1 :], ":", color=color, linewidth=1.2)
        if ys:
            axes.annotate(
                one.name.rsplit("-", 1)[-1].lstrip("0"),
                (xs[-1], ys[-1]),
                xytext=(5, 0),
                textcoords="offset points",
                va="center",
                fontsize=SMALL,
                color=color,
            )
    for label, color, width in (
        ("winner", VERMILLION, 2.2),
        ("default", INK, 1.6),
        ("picks", BLUE, 1.2),
        ("diverse", MUTED, 1.2),
        ("proposed", ORANGE, 1.2),
    ):
        axes.plot([], [], "-o", color=color, linewidth=width, markersize=4, label=label)
    axes.set_xscale("log", base=2)
    axes.set_xticks(list(epochs), [str(end) for end in epochs])
    axes.minorticks_off()
    axes.set_xlabel("Epochs at the end of the rung")
    axes.set_ylabel("Held-out accuracy (%)")
    style(axes, grid="y")
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=5,
        frameon=False,
        fontsize=SMALL,
        labelcolor=INK,
    )
    return figure


def _look(one: Entrant) -> tuple[str, float]:
    if one.won:
        return VERMILLION, 2.2
    if "default" in one.roles:
        return INK, 1.6
    if "proposed" in one.roles:
        return ORANGE, 1.2
    return (MUTED if "diverse" in one.roles else BLUE), 1.2


def _importance(one: Entrant) -> tuple[bool, bool]:
    """What is drawn last lies on top."""
    return one.won, "default" in one.roles
