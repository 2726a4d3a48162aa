"""The optimum of a score that is a sum over layers, without scoring a space one by one.

A partial architecture is known by the counts it has spent, exact integers; of all that have spent
the same, only the best can be part of an optimum (Bellman). Scores are summed as exact rationals,
so that neither the order of the layers nor rounding decides between candidates.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, TypeAlias

from tvtfast.spaces import PUBLISHED, Skeleton, Space, Step, parse_constraints
from tvtfast.strategies.base import Budget, Proposals, register

Counts: TypeAlias = "tuple[int, ...]"
"""Parameters, FLOPs: one per constrained metric."""
Partial: TypeAlias = "tuple[int, Any]"
"""Negated score, and the choices as ``((..., first), second)``: of equal scores the first choices
come first."""

_COUNT_OF = {"params": lambda step: step.params, "flops": lambda step: 2 * step.macs}
_BEST = 10


def exact(space: Space[Any], budget: Budget) -> Proposals:
    """One population: the ``trials`` best architectures inside the constraints, best first; all of
    them, where there are fewer.

    Raises:
        ValueError: The search does not score exactly one sum over layers, or limits a count that is
            none; a space that neither states its steps nor can be listed.
        InfeasibleError: Nothing lies inside the constraints.
    """
    assert budget.step_values is not None
    windows = parse_constraints(budget.constraints)
    if PUBLISHED in windows:
        raise ValueError(
            f"strategy 'exact' adds up layers, and {PUBLISHED} are no such sum; limit flops or "
            "macs, or choose another strategy"
        )
    skeletons = list(space.skeletons(**budget.options))
    steps = list(dict.fromkeys(step for skeleton in skeletons for step in _steps_of(skeleton)))
    values = dict(zip(steps, _integers(budget.step_values(steps)), strict=True))
    costs = {step: tuple(_COUNT_OF[metric](step) for metric in windows) for step in steps}
    best = sorted(
        (negated, number, path)
        for number, skeleton in enumerate(skeletons)
        for negated, path in _best_of(
            skeleton, values, costs, tuple(windows.values()), budget.trials
        )
    )[: budget.trials]
    if not best:
        raise space.infeasible(budget.constraints, **budget.options)
    yield [_architecture(skeletons[number], path) for _, number, path in best]


def _steps_of(skeleton: Skeleton[Any]) -> Iterator[Step]:
    yield from skeleton.fixed
    yield from (step for slot in skeleton.slots for _, step in slot)


def _integers(values: Sequence[float]) -> list[int]:
    """The values times one common power of two, exactly."""
    if not all(map(math.isfinite, values)):
        raise ValueError("strategy 'exact' needs finite summands; the score of a layer is not")
    ratios = [Fraction(value) for value in values]
    scale = max((ratio.denominator for ratio in ratios), default=1)
    return [int(ratio * scale) for ratio in ratios]


def _best_of(
    skeleton: Skeleton[Any],
    values: Mapping[Step, int],
    costs: Mapping[Step, Counts],
    windows: Sequence[tuple[float, float]],
    keep: int,
) -> list[Partial]:
    start = tuple(map(sum, zip(*(costs[step] for step in skeleton.fixed), strict=True)))
    states: dict[Counts, list[Partial]] = {
        start: [(-sum(values[step] for step in skeleton.fixed), ())]
    }
    rooms = _room_before(skeleton, costs, windows)
    states = _inside(states, next(rooms))
    for slot, room in zip(skeleton.slots, rooms, strict=True):
        reached: dict[Counts, list[Partial]] = {}
        for spent, partials in states.items():
            for choice, (_, step) in enumerate(slot):
                total = tuple(map(sum, zip(spent, costs[step], strict=True)))
                value = values[step]
                reached.setdefault(total, []).extend(
                    (negated - value, (path, choice)) for negated, path in partials
                )
        states = {
            total: sorted(partials)[:keep] for total, partials in _inside(reached, room).items()
        }
    return sorted(itertools.chain.from_iterable(states.values()))[:keep]


def _room_before(
    skeleton: Skeleton[Any], costs: Mapping[Step, Counts], windows: Sequence[tuple[float, float]]
) -> Iterator[list[tuple[float, float]]]:
    """Windows on what is spent with 0, 1, ... slots filled, from which the rest can lead into the
    windows."""
    rooms = [list(windows)]
    for slot in reversed(skeleton.slots):
        spans = zip(*(costs[step] for _, step in slot), strict=True)
        rooms.append(
            [
                (low - max(span), high - min(span))
                for (low, high), span in zip(rooms[-1], spans, strict=True)
            ]
        )
    return reversed(rooms)


def _inside(
    states: dict[Counts, list[Partial]], room: Sequence[tuple[float, float]]
) -> dict[Counts, list[Partial]]:
    return {
        spent: partials
        for spent, partials in states.items()
        if all(low <= count <= high for count, (low, high) in zip(spent, room, strict=True))
    }


def _architecture(skeleton: Skeleton[Any], path: Any) -> Any:
    choices = []
    for slot in reversed(skeleton.slots):
        path, choice = path
        choices.append(slot[choice][0])
    return skeleton.build(choices[::-1])


register("exact", exact, trials=_BEST)
