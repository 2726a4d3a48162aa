"""Which subnet a training step takes."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from tvtfast.common import checks
from tvtfast.spaces import ModelOptions, Space, Window

WINDOW_OF = ("each", "mean")
"""What a window of FLOPs is of: every subnet, or their mean."""

LEAST_SHARE = 0.2
"""Share of the steps that every value of every decision has its turn in."""

_DRAWS = 1000
_STEP = 0.01
_MOST_DRAWS = 20_000
_MOST_DECIDING = 100
_LOOKED_AT = 2_000
_RAREST = 200


@dataclass(frozen=True)
class Subnets:
    """Random architectures in canonical form, one per step, a function of (seed, step) alone.

    They are drawn as a search draws under the same limits: every decision, depth among them, is
    uniform, and what lies outside the window is drawn again. Of every ``1 / least_share`` steps one
    is reserved for a value of a decision (`Space.decision_values`) whose turn it is; all else is
    drawn as before, given that value. Turns go around a shuffled list of all values, so among
    ``v`` of them each has at least ``least_share / v`` of the steps to itself. Where none of 100
    draws with a value lies inside the window, the nearest of them is taken.

    Args:
        space: The space.
        seed: Seed of the draws.
        identity_probability: Chance of a slot to hold no block in the steps that are not reserved,
            as published (`fit_identity_probability`); ``None`` draws every depth with equal
            probability.
        flops: Window (low, high) of every subnet, two FLOPs per multiply-add.
        options: Model options that FLOPs depend on.
        least_share: Share of the steps that is reserved; 0 reserves none.

    Raises:
        ValueError: An empty window, one beside a probability, or a share outside [0, 1).
    """

    space: Space[Any]
    seed: int
    identity_probability: float | None = None
    flops: Window | None = None
    options: ModelOptions = field(default_factory=ModelOptions)
    least_share: float = LEAST_SHARE

    def __post_init__(self) -> None:
        checks.real("least_share", self.least_share, least=0, below=1)
        if self.flops is not None:
            _refuse_empty(self.flops)
            if self.identity_probability is not None:
                raise ValueError(
                    "identity_probability makes the mean cost of subnets meet a window, and flops "
                    "is one of every subnet; give one of the two"
                )

    def __call__(self, step: int) -> Any:
        """The architecture of a step."""
        number = self._reserved(step)
        if number is not None:
            return self._due(step, number)
        rng = random.Random(f"subnet:{self.seed}:{step}")
        if self.identity_probability is not None:
            return self.space.draw_active(rng, self.identity_probability)
        return self._inside(lambda: self.space.draw(rng), _MOST_DRAWS)

    @cached_property
    def values(self) -> tuple[tuple[str, Any], ...]:
        """Every value of every decision, each with the name of the decision."""
        found = self.space.decision_values()
        return tuple((name, value) for name, values in found.items() for value in values)

    def check(self) -> None:
        """Refuse a window that fewer than one in 200 random architectures lie in.

        Raises:
            ValueError: The message says how many do and what the space spans.
        """
        if self.flops is None:
            return
        low, high = self.flops
        rng = random.Random(f"window:{self.seed}")
        costs = [self.space.flops_of(self.space.draw(rng), self.options) for _ in range(_LOOKED_AT)]
        inside = sum(low <= cost <= high for cost in costs)
        if inside * _RAREST < _LOOKED_AT:
            least, most = self.space.feasible_range("flops", **asdict(self.options))
            raise ValueError(
                f"{inside} of {_LOOKED_AT:,} random subnets of {self.space.name!r} have "
                f"{low:,.0f} to {high:,.0f} FLOPs, and every training step draws one that has; the "
                f"space spans {least:,.0f} to {most:,.0f}: widen the window or move it, or let it "
                "be one of the mean (window_of='mean')"
            )

    def _reserved(self, step: int) -> int | None:
        """The number of a step among those that are reserved; ``None`` where it is not."""
        before = math.floor(step * self.least_share)
        return before if math.floor((step + 1) * self.least_share) > before >= 0 else None

    def _due(self, step: int, number: int) -> Any:
        turn, place = divmod(number, len(self.values))
        order = list(self.values)
        random.Random(f"turn:{self.seed}:{turn}").shuffle(order)
        rng = random.Random(f"subnet:{self.seed}:{step}")
        return self._inside(
            lambda: self.space.draw_deciding(rng, *order[place]),
            _MOST_DECIDING,
        )

    def _inside(self, draw: Callable[[], Any], most: int) -> Any:
        """The first of ``most`` draws inside the window, or else the one nearest to it."""
        if self.flops is None:
            return draw()
        low, high = self.flops
        nearest, least = None, math.inf
        for _ in range(most):
            arch = draw()
            cost = self.space.flops_of(arch, self.options)
            outside = max(low - cost, cost - high)
            if outside <= 0:
                return arch
            if outside < least:
                nearest, least = arch, outside
        return nearest


def subnets_of(
    space: Space[Any],
    seed: int,
    options: ModelOptions,
    *,
    flops: Window | None,
    window_of: str = "each",
    least_share: float = LEAST_SHARE,
) -> Subnets:
    """The subnets of a training.

    Args:
        space: The space.
        seed: Seed of the draws.
        options: Model options that FLOPs depend on.
        flops: Window (low, high); ``None`` for none.
        window_of: What it is a window of, one of `WINDOW_OF`. ``mean``: an identity probability is
            fitted to it.
        least_share: See `Subnets`.

    Raises:
        ValueError: A window that cannot be met, ``mean`` without one, or an unknown ``window_of``.
    """
    checks.choice("window_of", window_of, WINDOW_OF)
    if window_of == "each":
        drawn = Subnets(space, seed, flops=flops, options=options, least_share=least_share)
        drawn.check()
        return drawn
    if flops is None:
        raise ValueError("window_of is 'mean', and there is no window; give flops, or leave it out")
    probability = fit_identity_probability(space, flops, seed=seed, **asdict(options))
    return Subnets(space, seed, probability, options=options, least_share=least_share)


def fit_identity_probability(
    space: Space[Any], flops: tuple[float, float], *, seed: int = 0, **options: Any
) -> float:
    """The probability of identity blocks with which random subnets have a mean cost in a window.

    Starting at 0.5, it rises by 0.01 while the mean over 1,000 draws is above the window, and falls
    while it is below. All trials take the same draws; costs are closed forms. The mean is all that
    it sets: with active blocks first, deep subnets become so rare that their last blocks are hardly
    trained.
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
    _refuse_empty(flops)
    low, high = flops
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


def _refuse_empty(flops: Window) -> None:
    low, high = flops
    if not low <= high:
        raise ValueError(f"the window {low:g} to {high:g} is empty; give (low, high)")
