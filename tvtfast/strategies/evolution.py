"""Evolution: mutate and cross the best architectures found so far.

Source: Chen et al., "AutoFormer: Searching Transformers for Visual Recognition", ICCV 2021, and its
published ``evolution.py``, whose hyper-parameters are the defaults.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tvtfast.spaces import Space
from tvtfast.strategies.base import Budget, Proposals, register
from tvtfast.strategies.novelty import Novelty

_ATTEMPTS = 10


@dataclass(frozen=True)
class Evolution:
    """Generations of ``population`` architectures: the first is drawn at random, each later one is
    ``mutations`` mutants and ``crossovers`` children of the ``parents`` best found so far, filled
    up with random draws where fewer new ones inside the constraints turn up in ten attempts each.

    Nothing outside the constraints is proposed, and nothing twice; candidates outside a window of
    the search have no children. It ends after ``trials`` architectures (with the default of 1000,
    20 generations), or when the space has no more.

    Args:
        population: Architectures per generation.
        parents: The best found so far that may have children.
        mutations: Mutants per generation; default half of it.
        crossovers: Children of two parents per generation; default the rest.
        mutate_prob: Probability that a mutant redraws a decision.
        size_prob: The same for depth and width of the whole, where a space tells them apart.
        tournament: A parent is the best of so many drawn from the ``parents``; 1 draws uniformly.

    Raises:
        ValueError: A number out of range.
    """

    population: int = 50
    parents: int = 10
    mutations: int | None = None
    crossovers: int | None = None
    mutate_prob: float = 0.2
    size_prob: float = 0.4
    tournament: int = 1

    def __post_init__(self) -> None:
        for name, least in (("population", 1), ("parents", 1), ("tournament", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; give {least} or more")
        for name in ("mutate_prob", "size_prob"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must be in [0, 1], got {getattr(self, name)}")
        mutations, crossovers = self._children
        if min(mutations, crossovers) < 0 or mutations + crossovers > self.population:
            raise ValueError(
                f"mutations is {mutations} and crossovers is {crossovers}; give 0 or more each, "
                f"together at most the population of {self.population}"
            )

    @property
    def _children(self) -> tuple[int, int]:
        """Mutants, and children of two, of one generation."""
        mutations = self.population // 2 if self.mutations is None else self.mutations
        rest = self.population - mutations
        return mutations, rest if self.crossovers is None else self.crossovers

    def __call__(self, space: Space[Any], budget: Budget) -> Proposals:
        """Run the strategy.

        Raises:
            InfeasibleError: See `Novelty`.
        """
        rng = random.Random(budget.seed)
        novelty = Novelty(space, budget)
        population = novelty.draw(min(self.population, budget.trials))
        while population:
            scores = yield population
            population = self._next(space, scores.best(self.parents), novelty, rng)

    def _next(
        self, space: Space[Any], best: list[Any], novelty: Novelty, rng: random.Random
    ) -> list[Any]:
        size = min(self.population, novelty.left)
        mutations, crossovers = self._children

        def parent() -> Any:
            return best[min(rng.randrange(len(best)) for _ in range(self.tournament))]

        def mutant() -> Any:
            return space.mutate(parent(), rng, prob=self.mutate_prob, size_prob=self.size_prob)

        def child() -> Any:
            return space.crossover(parent(), parent(), rng)

        population: list[Any] = []
        if best:
            population += _new(mutant, min(mutations, size), novelty)
            population += _new(child, min(crossovers, size - len(population)), novelty)
        return population + novelty.draw(size - len(population))


def _new(make: Callable[[], Any], wanted: int, novelty: Novelty) -> list[Any]:
    found: list[Any] = []
    for _ in range(_ATTEMPTS * wanted):
        if len(found) == wanted:
            break
        arch = make()
        if novelty.allows(arch):
            novelty.add([arch])
            found.append(arch)
    return found


register("evolution", Evolution())
