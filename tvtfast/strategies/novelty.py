"""Architectures inside the constraints that have not been proposed yet."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

from tvtfast.spaces import Space
from tvtfast.strategies.base import Budget


class Novelty:
    """Keeps a search inside its constraints and from proposing anything twice.

    Args:
        space: The space.
        budget: Its trials, constraints and seed are used.

    Raises:
        InfeasibleError: No architecture lies inside the constraints; or, in a space too large to
            list, fewer than trials could be found.
    """

    def __init__(self, space: Space[Any], budget: Budget) -> None:
        self._space, self._budget = space, budget
        self._proposed: set[Any] = set()
        if space.enumerable:
            drawn = space.enumerate(budget.constraints, **budget.options)
            if not drawn:
                raise space.infeasible(budget.constraints, **budget.options)
            random.Random(budget.seed).shuffle(drawn)
        else:
            drawn = space.sample(budget.trials, budget.seed, budget.constraints, **budget.options)
        self._drawn = iter(drawn)

    @property
    def left(self) -> int:
        """Trials that have not been spent."""
        return self._budget.trials - len(self._proposed)

    def allows(self, arch: Any) -> bool:
        """Whether it may be proposed."""
        return arch not in self._proposed and self._space.satisfies(
            arch, self._budget.constraints, **self._budget.options
        )

    def add(self, archs: Iterable[Any]) -> None:
        """From now on they have been proposed."""
        self._proposed.update(archs)

    def draw(self, n: int) -> list[Any]:
        """Up to ``n`` random ones, proposed from now on; fewer where the space has no more."""
        fresh: list[Any] = []
        while len(fresh) < n:
            arch = next(self._drawn, None)
            if arch is None:
                break
            if arch not in self._proposed:
                fresh.append(arch)
        self.add(fresh)
        return fresh
