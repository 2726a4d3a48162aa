"""Which subnet a training step takes."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from tvtfast.spaces import Space

_DRAWS = 1000
_STEP = 0.01


@dataclass(frozen=True)
class Subnets:
    """Random architectures in canonical form, one per step, a function of (seed, step) alone.

    Args:
        space: The space.
        seed: Seed of the draws.
        identity_probability: Chance of a slot to hold no block; ``None`` draws every depth with
            equal probability.
    """

    space: Space[Any]
    seed: int
    identity_probability: float | None = None

    def __call__(self, step: int) -> Any:
        """The architecture of a step."""
        rng = random.Random(f"subnet:{self.seed}:{step}")
        if self.identity_probability is None:
            return self.space.draw(rng)
        return self.space.draw_active(rng, self.identity_probability)


def fit_identity_probability(
    space: Space[Any], flops: tuple[float, float], *, seed: int = 0, **options: Any
) -> float:
    """The probability of identity blocks with which random subnets have a mean cost in a window.

    Starting at 0.5, it rises by 0.01 while the mean over 1,000 draws is above the window, and falls
    while it is below. All trials take the same draws; costs are closed forms.
    Source: the released code of ViTAS, which walks modules for the same counts.

    Args:
        space: A space of ViTAS.
        flops: Window (low, high) of the mean cost, two FLOPs per multiply-add.
        seed: Seed of the draws.
        **options: Model options that FLOPs depend on.

    Raises:
        ValueError: A window that no probability reaches; the message says what the nearest ones
            give.
    """
    low, high = flops
    if not low <= high:
        raise ValueError(f"the window {low:g} to {high:g} is empty; give (low, high)")
    tried: dict[int, float] = {}

    def mean(hundredths: int) -> float:
        if hundredths not in tried:
            rng = random.Random(f"identity:{seed}")
            archs = [space.draw_active(rng, hundredths * _STEP) for _ in range(_DRAWS)]
            tried[hundredths] = float(space.paths(archs, **options).flops.mean())
        return tried[hundredths]

    hundredths = 50
    while not low <= mean(hundredths) <= high:
        following = hundredths + (1 if mean(hundredths) > high else -1)
        if following in tried or not 0 <= following <= 99:
            nearest = ", ".join(f"{p * _STEP:.2f}: {tried[p]:,.0f}" for p in sorted(tried)[:2])
            raise ValueError(
                f"no identity probability gives random subnets of {space.name!r} a mean of "
                f"{low:,.0f} to {high:,.0f} FLOPs (tried {nearest}, ..., "
                f"{hundredths * _STEP:.2f}: {tried[hundredths]:,.0f}); widen the window or move it"
            )
        hundredths = following
    return round(hundredths * _STEP, 2)
