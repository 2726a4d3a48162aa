"""NSGA-II: a population that spreads along the Pareto front of several columns.

Source: Deb et al., "A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II", IEEE TEVC 2002,
in the implementation of pymoo (Blank and Deb, IEEE Access 2020).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tvtfast.spaces import Space
from tvtfast.strategies.base import Budget, Proposals, register
from tvtfast.strategies.feedback import Scores
from tvtfast.strategies.novelty import Novelty


@dataclass(frozen=True)
class NSGA2:
    """Generations of ``population`` architectures; who has children is decided by non-dominated
    sorting and crowding distance over the objectives of the budget, without weights between them.

    A space whose variables are all decided is searched as integer vectors, with two-point crossover
    and polynomial mutation of index 3 (the operators of ViTAS), and so are the spaces of ViTAS;
    every other one with its own `Space.crossover` and `Space.mutate`. Nothing outside the
    constraints is proposed, and nothing twice; a generation for which too few new ones turn up is
    filled with random draws. Candidates outside a window of the search rank below all inside, and
    among themselves by how far (Deb's rule); those that miss an objective rank last. It ends after
    ``trials`` architectures, or when the space has no more.

    Args:
        population: Architectures per generation, and survivors.
        mutate_prob: Probability that `Space.mutate` redraws a decision.

    Raises:
        ValueError: A number out of range.
    """

    population: int = 50
    mutate_prob: float = 0.2

    def __post_init__(self) -> None:
        if self.population < 2:
            raise ValueError(f"population is {self.population}; give 2 or more")
        if not 0.0 <= self.mutate_prob <= 1.0:
            raise ValueError(f"mutate_prob must be in [0, 1], got {self.mutate_prob}")

    def __call__(self, space: Space[Any], budget: Budget) -> Proposals:
        """Run the strategy.

        Raises:
            ImportError: pymoo is not installed.
            ValueError: The budget names no objectives.
            InfeasibleError: See `Novelty`.
        """
        try:
            from tvtfast.strategies.genomes import Engine
        except ImportError as error:
            raise ImportError(
                f"strategy 'nsga2' needs pymoo ({error}); pip install 'tvtfast[evolution]', or use "
                "strategy 'evolution'"
            ) from error
        if not budget.objectives:
            raise ValueError("strategy 'nsga2' needs objectives; name at least one column")
        novelty = Novelty(space, budget)
        population = novelty.draw(min(self.population, budget.trials))
        engine = Engine(
            space,
            population,
            novelty.allows,
            objectives=len(budget.objectives),
            population=self.population,
            mutate_prob=self.mutate_prob,
            seed=budget.seed,
        )
        while population:
            scores = yield population
            engine.tell(population, _costs(scores, budget.objectives), scores.violations)
            size = min(self.population, novelty.left)
            population = engine.ask()[:size]
            novelty.add(population)
            population += novelty.draw(size - len(population))


def _costs(scores: Scores, objectives: Mapping[str, bool]) -> npt.NDArray[np.float64]:
    """``[n, k]``, lower is better; NaN where there is none."""
    return np.array(
        [
            np.array(scores.columns[name].values) * (-1.0 if higher else 1.0)
            for name, higher in objectives.items()
        ]
    ).T


register("nsga2", NSGA2(), racing=False, front=True)
