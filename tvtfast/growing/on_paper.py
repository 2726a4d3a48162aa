"""How many candidates a growth has, before any is scored."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

from tvtfast.growing.rule import GrowthRules, GrowthStep, grow_steps
from tvtfast.spaces import Space

_DRAWN = "drawn"
_UNSEEN = 0.25
"""Weight of a stage or width that no step has chosen; every choice adds 1."""


def on_paper(
    topology: Any,
    space: Space[Any],
    rules: GrowthRules,
    target_params: Sequence[float] = (),
    *,
    like: Sequence[GrowthStep] = (),
    seed: int = 0,
    **options: Any,
) -> list[list[Any]]:
    """Candidates that a growth would score, step by step, if scores were drawn.

    Which model of a step grows on depends on scores; here it is drawn, as often with one block more
    in a stage, and as often of a width, as steps of a real growth have chosen. So sizes and number
    of candidates are near those of the growth, and not theirs. Candidates of the step before are
    not listed again.

    Args:
        topology: As for `tvtfast.grow`.
        space: Its space.
        rules: Size of steps and limits.
        target_params: As for `tvtfast.grow`.
        like: Steps of a growth whose choices are an example.
        seed: Of the draws.
        **options: Model options that parameters are counted with.
    """
    rng, known, steps = random.Random(seed), set(), []
    chosen = [_kinds([one.scored for one in step.candidates])[step.chosen] for step in like]
    stages = Counter(stage for stage, _ in chosen)
    widths = Counter(width for _, width in chosen)

    def drawn(kind: tuple[int, int]) -> float:
        """Largest as often as the weight of a kind says."""
        weight = (stages[kind[0]] + _UNSEEN) * (widths[kind[1]] + _UNSEEN)
        return float(rng.random() ** (1 / weight))

    def score(archs: list[Any]) -> dict[str, list[float]]:
        new = list(dict.fromkeys(arch for arch in archs if arch not in known))
        known.update(new)
        if new:
            steps.append(new)
        return {_DRAWN: [drawn(kind) for kind in _kinds(archs)]}

    for _ in grow_steps(
        space.decode(topology),
        rules,
        score=score,
        higher_is_better={_DRAWN: True},
        params=lambda arch: space.params(arch, **options),
        flops=lambda arch: space.flops(arch, **options),
        targets=target_params,
    ):
        pass
    return steps


def _kinds(archs: Sequence[Any]) -> list[tuple[int, int]]:
    """Of every candidate of a step the stage with one block more, and the place of its width among
    those of the step."""
    least = [min(depths) for depths in zip(*(arch.depths for arch in archs), strict=True)]
    widths = sorted({arch.width for arch in archs})
    deeper = [
        max((depth - few, stage) for stage, (depth, few) in enumerate(pairs))[1]
        for pairs in (tuple(zip(arch.depths, least, strict=True)) for arch in archs)
    ]
    places = [widths.index(arch.width) for arch in archs]
    return list(zip(deeper, places, strict=True))
