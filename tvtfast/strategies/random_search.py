"""Random search: the strategy of TVT, and the baseline of every other."""

from __future__ import annotations

from typing import Any

from tvtfast.spaces import Space
from tvtfast.strategies.base import Budget, Proposals, register


def random_search(space: Space[Any], budget: Budget) -> Proposals:
    """One population of distinct, independent, uniform draws inside the constraints."""
    yield space.sample(budget.trials, budget.seed, budget.constraints, **budget.options)


register("random", random_search, racing=True)
