"""Accuracy of several networks while they were trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tvtfast.report.figures.canvas import (
    BLUE,
    MUTED,
    ORANGE,
    VERMILLION,
    legend_above,
    new_figure,
    style,
)
from tvtfast.report.run_content import TrainedNetwork

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLORS = (MUTED, VERMILLION, BLUE, ORANGE)
_DASHES = ("--", "-", "-", "-.")


def accuracy_figure(networks: Sequence[TrainedNetwork]) -> Figure:
    """Held-out accuracy against epochs, one line per network, a dot at its best epoch.

    A network whose curve is not known but whose test accuracy is becomes a dotted horizontal line.
    """
    figure = new_figure(7.2, 3.8)
    axes = figure.add_subplot()
    axes.set_xlabel("Epoch")
    axes.set_ylabel("Held-out accuracy (%)")
    style(axes)
    for index, network in enumerate(networks):
        color, dash = _COLORS[index % len(_COLORS)], _DASHES[index % len(_DASHES)]
        if network.curve:
            epochs = range(1, len(network.curve) + 1)
            marker = "o" if len(network.curve) == 1 else None
            axes.plot(
                epochs,
                network.curve,
                dash,
                color=color,
                linewidth=1.6,
                marker=marker,
                label=network.name,
            )
            best = max(epochs, key=lambda epoch: network.curve[epoch - 1])
            axes.plot(best, network.curve[best - 1], "o", color=color, markersize=5)
        elif network.accuracy == network.accuracy:
            name = f"{network.name} (test)"
            axes.axhline(network.accuracy, linestyle=":", color=color, label=name)
    axes.locator_params(axis="x", integer=True)
    legend_above(axes, 2)
    return figure


def superformer_figure(loss: Sequence[float], accuracy: Sequence[float]) -> Figure:
    """Loss of the sampled subnets, and accuracy of the reference subnet, against epochs."""
    figure = new_figure(7.2, 2.8)
    for place, (values, label, color) in enumerate(
        ((loss, "Loss of the sampled subnets", MUTED), (accuracy, "Accuracy (%)", VERMILLION))
    ):
        axes = figure.add_subplot(1, 2, place + 1)
        axes.set_xlabel("Epoch")
        axes.set_ylabel(label)
        style(axes)
        marker = "o" if len(values) == 1 else None
        axes.plot(range(1, len(values) + 1), values, color=color, linewidth=1.6, marker=marker)
        axes.locator_params(axis="x", integer=True)
    return figure
