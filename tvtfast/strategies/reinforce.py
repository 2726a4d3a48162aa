"""REINFORCE: learn which choices score well, one architecture at a time.

Source: Chen et al., "Auto-scaling Vision Transformers without Training", ICLR 2022, Algorithm 1 and
its published ``search/reinforce.py``.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tvtfast.common import checks
from tvtfast.spaces import Space
from tvtfast.strategies.base import Budget, Proposals, register
from tvtfast.strategies.feedback import Scores
from tvtfast.strategies.policy import Choices, Policy

POLICY = "policy"
"""Name of the table of probabilities."""

_STEPS = 500
_ATTEMPTS = 1_000
_FAILED = -1.0
_SMALL = 1e-6


@dataclass(frozen=True)
class Reinforce:
    """The topology search of As-ViT, for spaces that state their variables.

    An independent categorical policy per variable (logits from N(0, 1e-3)) draws one architecture
    per step. Variables that the drawn ones leave undecided learn nothing from it. Its reward is how
    much better it is than the one before, in every objective :math:`x`, relative to the range of
    the last ``window`` steps:

    .. math:: r_t = \\sum_x \\pm \\frac{x_t - x_{t-1}}{\\max x - \\min x + 10^{-6}}

    (+ where higher is better; 0 in the first step), and Adam minimises
    :math:`-(r_t - b_t) \\log \\pi(a_t)` with the bias-corrected moving average :math:`b_t` of the
    rewards. With ``flops_weight`` :math:`w` the reward loses :math:`w` times the relative change of
    the FLOPs: a soft constraint beside the windows, which are hard. After ``trials`` steps (default
    500) the most probable choice of every variable is proposed as well, and is the answer, whatever
    scores were seen on the way. The trace holds the entropy of the policy in nats and the reward of
    every step; the table ``policy`` has the probability of every choice in every step.

    Nothing outside the constraints is proposed: such draws are repeated (after 1,000 the step takes
    a uniform draw). A candidate outside a window of the search counts as one without a score. If
    the answer lies outside of either, the most probable architecture inside that was proposed takes
    its place.

    What the published code does otherwise, and ``paper=True`` repeats:

    - the moving average takes up the current reward before it is subtracted, which scales the
      advantage by 0 in the first step, 0.47 in the second, and 0.9 in the end;
    - a candidate without a score counts as -1, which is the best there is where lower is better
      (its penalty for such candidates is never reached). Here it counts as the worst of the last
      ``window`` steps, as was meant.

    Args:
        learning_rate: Of Adam.
        window: Steps that ranges are taken over, the current one included.
        momentum: Of the moving average of rewards.
        flops_weight: Weight of the FLOPs in the reward; 0 as published.
        paper: Repeat the published code.

    Raises:
        ValueError: A number out of range.
    """

    learning_rate: float = 0.08
    window: int = 20
    momentum: float = 0.9
    flops_weight: float = 0.0
    paper: bool = False

    def __post_init__(self) -> None:
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate is {self.learning_rate}; give a positive number")
        if self.window < 2:
            raise ValueError(f"window is {self.window}; give 2 steps or more")
        if not 0.0 <= self.momentum < 1.0:
            raise ValueError(f"momentum must be in [0, 1), got {self.momentum}")
        checks.real("flops_weight", self.flops_weight, least=0)

    def __call__(self, space: Space[Any], budget: Budget) -> Proposals:
        """Run the strategy.

        Raises:
            ValueError: A space that does not state its variables, or no objectives.
            InfeasibleError: No architecture lies inside the constraints.
        """
        if not budget.objectives:
            raise ValueError("strategy 'reinforce' needs objectives; name at least one column")
        rng = random.Random(budget.seed)
        policy = Policy([len(v.choices) for v in space.variables], self.learning_rate, rng)
        rewards = Rewards(budget.objectives, self.window, self.paper, self.flops_weight)
        baseline = MovingAverage(self.momentum)
        inside: dict[Choices, Any] = {}
        for step in range(1, budget.trials + 1):
            choices, arch = self._draw(space, policy, budget, rng)
            budget.note(entropy=policy.entropy)
            budget.keep(POLICY, _rows(step, space, policy))
            scores = yield [arch]
            if not scores.violations[0]:
                inside[choices] = arch
            reward = rewards.of(scores)
            budget.note_scored(reward=reward)
            if self.paper:
                baseline.update(reward)
            policy.update(choices, reward - baseline.value)
            if not self.paper:
                baseline.update(reward)
        budget.keep(POLICY, _rows(budget.trials + 1, space, policy))
        known = inside[max(inside, key=policy.log_probability)] if inside else None
        answer = space.from_choices(policy.most_probable())
        if not space.satisfies(answer, budget.constraints, **budget.options):
            answer = known
        if answer is None:
            return None
        budget.note(entropy=policy.entropy)
        scores = yield [answer]
        return known if scores.violations[0] else answer

    def _draw(
        self, space: Space[Any], policy: Policy, budget: Budget, rng: random.Random
    ) -> tuple[Choices, Any]:
        for _ in range(_ATTEMPTS):
            choices = policy.sample()
            arch = space.from_choices(choices)
            if space.satisfies(arch, budget.constraints, **budget.options):
                return _decided(space, choices), arch
        (arch,) = space.sample(1, rng, budget.constraints, **budget.options)
        return _decided(space, space.choices_of(arch)), arch


def _decided(space: Space[Any], choices: Sequence[int]) -> Choices:
    pairs = zip(choices, space.decided(choices), strict=True)
    return tuple(choice if decided else None for choice, decided in pairs)


def _rows(step: int, space: Space[Any], policy: Policy) -> list[dict[str, Any]]:
    """The policy that a step draws from, choice by choice."""
    return [
        {
            "generation": step,
            "decision": variable.name,
            "choice": str(choice),
            "probability": float(probability),
        }
        for variable, probabilities in zip(space.variables, policy.probabilities, strict=True)
        for choice, probability in zip(variable.choices, probabilities, strict=True)
    ]


class MovingAverage:
    """Exponential moving average without the bias towards the zero it starts from."""

    def __init__(self, momentum: float) -> None:
        self._momentum, self._sum, self._weight = momentum, 0.0, 0.0

    @property
    def value(self) -> float:
        """0 before the first update."""
        return self._sum / self._weight if self._weight else 0.0

    def update(self, value: float) -> None:
        self._sum = self._momentum * self._sum + (1 - self._momentum) * value
        self._weight = self._momentum * self._weight + (1 - self._momentum)


@dataclass
class Rewards:
    """Relative changes from step to step, see `Reinforce`."""

    objectives: Mapping[str, bool]
    window: int
    paper: bool
    flops_weight: float = 0.0
    _seen: dict[str, list[float]] = field(default_factory=dict)

    def of(self, scores: Scores) -> float:
        """The reward of the one architecture that was scored."""
        reward = sum(
            self._change(
                name,
                math.nan if scores.violations[0] else scores.columns[name].values[0],
                1.0 if higher else -1.0,
            )
            for name, higher in self.objectives.items()
        )
        if self.flops_weight:
            flops = scores.columns["flops"].values[0]
            reward += self.flops_weight * self._change("flops of the constraint", flops, -1.0)
        return reward

    def _change(self, name: str, value: float, sign: float) -> float:
        seen = self._seen.setdefault(name, [])
        if math.isnan(value):
            if self.paper:
                value = _FAILED
            elif seen:
                value = min(seen, key=lambda known: sign * known)
            else:
                return 0.0
        seen.append(value)
        del seen[: -self.window]
        if len(seen) == 1:
            return 0.0
        return sign * (seen[-1] - seen[-2]) / (max(seen) - min(seen) + _SMALL)


register("reinforce", Reinforce(), trials=_STEPS, racing=False)
