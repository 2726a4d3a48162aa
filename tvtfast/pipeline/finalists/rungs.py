"""How long finalists are trained before the worse half of them goes: successive halving."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tvtfast.distill import Recipe

LEAST = 4
"""Finalists of a tournament: with fewer, no calibration can be fitted to the first rung."""
_HOUR = 3600.0


@dataclass(frozen=True)
class Rungs:
    """The rungs of a tournament of K finalists.

    The last rung ends after E epochs, each one before it after half as many. A rung begins with
    half as many finalists as the one before it. The first one has K, and then those that are
    proposed after it.

    Source: Jamieson and Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter
    Optimization", AISTATS 2016.

    Args:
        epochs: Epochs that a training has behind it at the end of each rung.
        sizes: Finalists that begin each rung; 1 in the last.
        proposed: Finalists that enter the first rung when all others have ended it.
    """

    epochs: tuple[int, ...]
    sizes: tuple[int, ...]
    proposed: int

    @classmethod
    def of(cls, finalists: int, epochs: int) -> Rungs:
        """Those of K ``finalists`` and E ``epochs``.

        Raises:
            ValueError: Too few epochs for one in the first rung.
        """
        sizes = _sizes(finalists)
        least = least_epochs(finalists)
        if epochs < least:
            raise ValueError(
                f"{finalists} finalists take {len(sizes)} rungs, and the recipe has {epochs} "
                f"epochs; give at least {least}, or fewer finalists"
            )
        last = len(sizes) - 1
        return cls(
            tuple(epochs >> (last - rung) for rung in range(len(sizes))), sizes, finalists // 2
        )

    def total(self, compared: int) -> int:
        """The most epochs that all trainings take together, those of ``compared`` finalists that
        are trained to the end for the comparison included."""
        trained = (self.sizes[0] + self.proposed) * self.epochs[0]
        steps = zip(self.epochs[1:], self.epochs, self.sizes[1:], strict=False)
        trained += sum(size * (after - before) for after, before, size in steps)
        return trained + compared * (self.epochs[-1] - self.epochs[0])


def least_epochs(finalists: int) -> int:
    """The fewest epochs E with one in the first rung."""
    return 1 << (len(_sizes(finalists)) - 1)


def rungs_within(
    hours: float, seconds_per_epoch: float, finalists: int, compared: int, recipe: Recipe
) -> Rungs:
    """The longest rungs, up to the epochs of the recipe, whose trainings fit a time.

    Args:
        hours: Of all trainings together.
        seconds_per_epoch: Of the slowest finalist.
        finalists: K.
        compared: Finalists that are trained to the end for the comparison.
        recipe: Of the trainings.

    Raises:
        ValueError: Even the shortest do not.
    """
    least = least_epochs(finalists)
    lengths = range(recipe.epochs, least - 1, -1)
    for epochs in lengths:
        rungs = Rungs.of(finalists, epochs)
        if rungs.total(compared) * seconds_per_epoch <= hours * _HOUR:
            return rungs
    needed = Rungs.of(finalists, least).total(compared) * seconds_per_epoch / _HOUR
    raise ValueError(
        f"train_hours is {hours:g}, and an epoch takes {seconds_per_epoch:.3g} s: {finalists} "
        f"finalists need at least {needed:.2g} hours; give more, fewer finalists, or compare=False"
    )


def _sizes(finalists: int) -> tuple[int, ...]:
    rungs = math.ceil(math.log2(finalists))
    return tuple(math.ceil(finalists / 2**rung) for rung in range(rungs + 1))
