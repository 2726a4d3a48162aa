"""A budget that no architecture fits is refused before anything is trained for it."""

from __future__ import annotations

from typing import Any

from tvtfast import spaces
from tvtfast.pipeline.plan import LOWEST_SHARE, Plan
from tvtfast.spaces import InfeasibleError, Space

_MILLION = 1e6


def check_window(plan: Plan) -> None:
    """Refuse a budget whose window no architecture of the space fits.

    Raises:
        InfeasibleError: The message names spaces that have some.
    """
    try:
        plan.space.sample(1, plan.seed, plan.constraints, **plan.options)
    except InfeasibleError as error:
        low, high = plan.window
        least, most = plan.space.feasible_range("params", **plan.options)
        others = [
            space.name for space in spaces.all_spaces() if _spans(space, low, high, plan.options)
        ]
        advice = f"give one of {', '.join(others)}" if others else "no other space has some either"
        raise InfeasibleError(
            f"budget is {plan.budget / _MILLION:g} million parameters, and no architecture of "
            f"{plan.space.name!r} has {low / _MILLION:g} to {high / _MILLION:g} million; they have "
            f"{least / _MILLION:.3g} to {most / _MILLION:.3g}. Change the budget, or the space: "
            f"{advice}"
        ) from error


def within(space: Space[Any], budget: float, **options: Any) -> float:
    """A budget whose window lies inside what the space has, as near to the given one as there
    is."""
    least, most = space.feasible_range("params", **options)
    return float(min(most, max(budget, least / LOWEST_SHARE)))


def _spans(space: Space[Any], low: float, high: float, options: Any) -> bool:
    try:
        least, most = space.feasible_range("params", **options)
    except ValueError:  # no models of these options
        return False
    return least <= high and low <= most
