"""Architectures as pymoo varies them. Needs pymoo."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from pymoo.algorithms.moo.nsga2 import NSGA2 as PymooNSGA2
from pymoo.core.crossover import Crossover
from pymoo.core.duplicate import DuplicateElimination
from pymoo.core.evaluator import Evaluator
from pymoo.core.mutation import Mutation
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.termination import NoTermination
from pymoo.operators.crossover.pntx import TwoPointCrossover
from pymoo.operators.mutation.pm import PM
from pymoo.operators.repair.rounding import RoundingRepair
from pymoo.problems.static import StaticProblem

from tvtfast.spaces import Space

Allows = Callable[[Any], bool]
_ETA = 3.0


class Engine:
    """pymoo's NSGA-II over the architectures of a space: `tell` costs, `ask` for the next ones.

    Args:
        space: The space.
        initial: The first population, which `tell` is told about first.
        allows: Whether an architecture may be proposed.
        objectives: Number of costs.
        population: Survivors, and offspring per generation.
        mutate_prob: See `tvtfast.strategies.NSGA2`.
        seed: Seed of all draws.
    """

    def __init__(
        self,
        space: Space[Any],
        initial: Sequence[Any],
        allows: Allows,
        *,
        objectives: int,
        population: int,
        mutate_prob: float,
        seed: int,
    ) -> None:
        self._genome = _genome(space, mutate_prob, seed)
        self._problem = Problem(n_obj=objectives, n_ieq_constr=2, **self._genome.problem)
        self._algorithm = PymooNSGA2(
            pop_size=population,
            sampling=Population.new("X", self._encoded(initial)),
            crossover=self._genome.crossover,
            mutation=self._genome.mutation,
            eliminate_duplicates=_Allowed(self._genome, allows),
        )
        self._algorithm.setup(self._problem, seed=seed, termination=NoTermination())
        self._algorithm.ask()

    def ask(self) -> list[Any]:
        """The next architectures, all allowed and different; fewer where no more turn up."""
        offspring = self._algorithm.ask()
        return [] if offspring is None else self._genome.decoded(offspring)

    def tell(
        self, archs: Sequence[Any], costs: npt.NDArray[np.float64], violations: Sequence[float]
    ) -> None:
        """Enter a population: its ``costs [n, k]``, lower is better; rows with NaN come last, and
        before them those with ``violations`` above 0, in their order."""
        missing = np.isnan(costs).any(axis=1, keepdims=True)
        # 1 - 1 / (1 + v) keeps the order and stays below what a missing cost counts
        outside = 1 - 1 / (1 + np.array(violations)[:, None])
        population = Population.new("X", self._encoded(archs))
        scored = StaticProblem(
            self._problem,
            F=np.where(missing, 0.0, costs),
            G=np.hstack((np.where(missing, 1.0, 0.0), outside)),
        )
        Evaluator().eval(scored, population)
        self._algorithm.tell(infills=population)

    def _encoded(self, archs: Sequence[Any]) -> npt.NDArray[Any]:
        return self._genome.encoded(archs)


class _Genome(Protocol):
    problem: dict[str, Any]
    crossover: Any
    mutation: Any

    def encoded(self, archs: Sequence[Any]) -> npt.NDArray[Any]:
        """Rows of pymoo's matrix of variables."""

    def decoded(self, population: Iterable[Any]) -> list[Any]:
        """The architectures of a population of pymoo's."""


def _genome(space: Space[Any], mutate_prob: float, seed: int) -> _Genome:
    try:
        variables = space.variables
    except ValueError:
        return _Whole(space, mutate_prob, seed)
    if any(variable.condition for variable in variables) and not space.integer_genome:
        return _Whole(space, mutate_prob, seed)
    return _Integers(space, [len(variable.choices) for variable in variables])


class _Integers:
    """One integer per variable of the space."""

    def __init__(self, space: Space[Any], choices: Sequence[int]) -> None:
        self._space = space
        self.problem = {
            "n_var": len(choices),
            "xl": np.zeros(len(choices)),
            "xu": np.array(choices) - 1,
            "vtype": int,
        }
        self.crossover = TwoPointCrossover()
        self.mutation = PM(eta=_ETA, vtype=float, repair=RoundingRepair())

    def encoded(self, archs: Sequence[Any]) -> npt.NDArray[Any]:
        return np.array([self._space.choices_of(arch) for arch in archs])

    def decoded(self, population: Iterable[Any]) -> list[Any]:
        return [self._space.from_choices([int(gene) for gene in one.X]) for one in population]


class _Whole:
    """One variable: the architecture, varied by its space."""

    def __init__(self, space: Space[Any], mutate_prob: float, seed: int) -> None:
        rng = random.Random(seed)
        self.problem = {"n_var": 1, "vtype": object}
        self.crossover = _SpaceCrossover(space, rng)
        self.mutation = _SpaceMutation(space, rng, mutate_prob)

    def encoded(self, archs: Sequence[Any]) -> npt.NDArray[Any]:
        column = np.empty((len(archs), 1), dtype=object)
        column[:, 0] = archs
        return column

    def decoded(self, population: Iterable[Any]) -> list[Any]:
        return [one.X[0] for one in population]


class _SpaceCrossover(Crossover):
    """`Space.crossover` of two parents, one child."""

    def __init__(self, space: Space[Any], rng: random.Random) -> None:
        super().__init__(n_parents=2, n_offsprings=1)
        self._space, self._rng = space, rng

    def _do(self, problem: Problem, X: npt.NDArray[Any], **kwargs: Any) -> npt.NDArray[Any]:
        children = np.empty((1, X.shape[1], 1), dtype=object)
        for index, (first, second) in enumerate(zip(X[0, :, 0], X[1, :, 0], strict=True)):
            children[0, index, 0] = self._space.crossover(first, second, self._rng)
        return children


class _SpaceMutation(Mutation):
    """`Space.mutate`."""

    def __init__(self, space: Space[Any], rng: random.Random, prob: float) -> None:
        super().__init__()
        self._space, self._rng, self._mutate_prob = space, rng, prob

    def _do(self, problem: Problem, X: npt.NDArray[Any], **kwargs: Any) -> npt.NDArray[Any]:
        mutants = np.empty_like(X)
        for index, arch in enumerate(X[:, 0]):
            mutants[index, 0] = self._space.mutate(arch, self._rng, prob=self._mutate_prob)
        return mutants


class _Allowed(DuplicateElimination):
    """Lets through what may be proposed, once; pymoo mates again until there is enough of it."""

    def __init__(self, genome: _Genome, allows: Allows) -> None:
        super().__init__()
        self._genome, self._allows = genome, allows

    def do(self, pop: Population, *others: Population, **kwargs: Any) -> Population:
        known = {arch for other in others for arch in self._genome.decoded(other)}
        kept = []
        for index, arch in enumerate(self._genome.decoded(pop)):
            if arch not in known and self._allows(arch):
                known.add(arch)
                kept.append(index)
        return pop[kept]
