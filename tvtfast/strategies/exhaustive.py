"""Every architecture of a space that is small enough to list."""

from __future__ import annotations

from typing import Any

from tvtfast.spaces import Space
from tvtfast.strategies.base import Budget, Proposals, register


def exhaustive(space: Space[Any], budget: Budget) -> Proposals:
    """One population: all architectures inside the constraints.

    Raises:
        NotEnumerableError: The space is too large to list.
        InfeasibleError: Nothing lies inside the constraints.
    """
    population = space.enumerate(budget.constraints, **budget.options)
    if not population:
        raise space.infeasible(budget.constraints, **budget.options)
    yield population


register("exhaustive", exhaustive, trials=None, racing=True)
