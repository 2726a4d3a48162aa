"""How many candidates a growth has, before any is scored."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from tvtfast.growing.rule import GrowthRules, grow_steps
from tvtfast.spaces import Space

_DRAWN = "drawn"


def on_paper(
    topology: Any,
    space: Space[Any],
    rules: GrowthRules,
    target_params: Sequence[float] = (),
    *,
    seed: int = 0,
    **options: Any,
) -> list[list[Any]]:
    """Candidates that a growth would score, step by step, if scores were drawn.

    Which model of a step grows on depends on scores; here it is drawn. So sizes and number of
    candidates are near those of the growth, and not theirs. Candidates of the step before are not
    listed again.

    Args:
        topology: As for `tvtfast.grow`.
        space: Its space.
        rules: Size of steps and limits.
        target_params: As for `tvtfast.grow`.
        seed: Of the draws.
        **options: Model options that parameters are counted with.
    """
    rng, known, steps = random.Random(seed), set(), []

    def score(archs: list[Any]) -> dict[str, list[float]]:
        new = list(dict.fromkeys(arch for arch in archs if arch not in known))
        known.update(new)
        if new:
            steps.append(new)
        return {_DRAWN: [rng.random() for _ in archs]}

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
