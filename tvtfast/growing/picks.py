"""Which model of a family stands for a parameter count, and whether it is near enough."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tvtfast.growing.rule import Grown, GrowthRules

_MILLION = 1e6


@dataclass(frozen=True)
class Pick:
    """The model of a family that is nearest to a parameter count, by their ratio.

    Args:
        target_params: The parameter count that was asked for.
        model: The model.
        reason: Why the target is not met, and what to do; empty where it is.
    """

    target_params: float
    model: Grown
    reason: str = ""

    @property
    def met(self) -> bool:
        """Whether the model is as near as the rules of growth ask for."""
        return not self.reason

    @property
    def deviation(self) -> float:
        """Parameters of the model over the target, minus 1."""
        return self.model.params / self.target_params - 1


def nearest(models: Sequence[Grown], params: float) -> Grown:
    """The model whose parameter count is nearest, by their ratio."""
    return min(models, key=lambda model: abs(math.log(model.params / params)))


def too_few(target: float, least: float) -> str:
    """Why a target below the smallest model is not met."""
    return (
        f"{target / _MILLION:g} M parameters are fewer than the smallest model has, "
        f"{least / _MILLION:.3g} M; start narrower (start_width), or raise the target"
    )


def pick(models: Sequence[Grown], target: float, rules: GrowthRules) -> Pick:
    """The model of a family for a target.

    Args:
        models: At least one, smallest first.
        target: Parameters, above 0.
        rules: What the family grew by; they say how near is near enough.
    """
    found = nearest(models, target)
    if rules.met(found.params, target):
        return Pick(target, found)
    least, most = models[0].params, models[-1].params
    wanted = f"{target / _MILLION:g} M parameters"
    if target < least:
        reason = too_few(target, least)
    elif target > most:
        reason = (
            f"{wanted} are more than the largest model has, {most / _MILLION:.3g} M; let growth go "
            "on (stop_params, max_params), or lower the target"
        )
    else:
        reason = (
            f"{wanted} lie between models; the nearest has {found.params / _MILLION:.3g} M, "
            f"{found.params / target - 1:+.0%}"
        )
    return Pick(target, found, reason)
