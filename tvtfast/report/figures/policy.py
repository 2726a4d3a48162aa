"""Figure of what a strategy learned to choose."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tvtfast.report.figures.canvas import BLUE, INK, MUTED, TITLE, grid_shape, new_figure, style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


def policy_figure(policy: pd.DataFrame) -> Figure:
    """For every decision the probability of its final choice against the generation, with the
    probability of equal choices as a dashed line.

    Args:
        policy: ``generation``, ``decision``, ``choice`` and ``probability``, see `SearchReport`.

    Raises:
        ValueError: No rows.
    """
    if not len(policy):
        raise ValueError("there is no policy to draw; give at least one row")
    decisions = list(policy["decision"].unique())
    rows, columns = grid_shape(len(decisions), max_columns=4)
    figure = new_figure(7.2, 0.5 + 1.3 * rows)
    grid = list(figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flat)
    last = policy["generation"].max()
    for axes, decision in zip(grid, decisions, strict=False):
        own = policy[policy["decision"] == decision]
        final = own[own["generation"] == last]
        choice = final.loc[final["probability"].idxmax(), "choice"]
        chosen = own[own["choice"] == choice]
        axes.axhline(1 / len(final), color=MUTED, linewidth=0.8, linestyle="--")
        axes.plot(chosen["generation"], chosen["probability"], color=BLUE, linewidth=1.4)
        axes.set_title(f"{decision} = {choice}", fontsize=TITLE, color=INK)
        axes.set_ylim(0, 1)
        style(axes)
    for axes in grid[len(decisions) :]:
        axes.remove()
    for axes in grid[max(0, len(decisions) - columns) : len(decisions)]:
        axes.set_xlabel("Step")
        axes.tick_params(labelbottom=True)
    return figure
