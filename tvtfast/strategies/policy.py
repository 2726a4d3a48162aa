"""Independent categorical choices, learned by policy gradients with Adam."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

_BETAS = (0.9, 0.999)
_EPSILON = 1e-8
_SPREAD = 1e-3

Array = npt.NDArray[np.float64]
Choices: TypeAlias = tuple[int | None, ...]
"""One choice per variable; ``None`` of one that was not decided."""


class Policy:
    """One categorical distribution per variable, :math:`\\pi_v = \\mathrm{softmax}(\\theta_v)`.

    Args:
        choices: Number of choices of every variable.
        learning_rate: Of Adam (Kingma and Ba, ICLR 2015; betas 0.9 and 0.999, epsilon 1e-8).
        rng: Of the first logits, N(0, 1e-3), and of all samples.
    """

    def __init__(self, choices: Sequence[int], learning_rate: float, rng: random.Random) -> None:
        self._rng, self._learning_rate = rng, learning_rate
        self.logits: list[Array] = [
            np.array([_SPREAD * rng.gauss(0.0, 1.0) for _ in range(count)]) for count in choices
        ]
        self._first = [np.zeros(count) for count in choices]
        self._second = [np.zeros(count) for count in choices]
        self._steps = 0

    @property
    def probabilities(self) -> list[Array]:
        """One distribution per variable."""
        return [_softmax(logits) for logits in self.logits]

    @property
    def entropy(self) -> float:
        """Sum over variables, in nats."""
        return -sum(float(np.sum(p * np.log(p))) for p in self.probabilities)

    def sample(self) -> list[int]:
        """One choice per variable."""
        return [self._rng.choices(range(len(p)), weights=p.tolist())[0] for p in self.probabilities]

    def log_probability(self, choices: Sequence[int | None]) -> float:
        """Of all choices together, those that were decided."""
        pairs = zip(self.probabilities, choices, strict=True)
        return sum(float(np.log(p[choice])) for p, choice in pairs if choice is not None)

    def most_probable(self) -> list[int]:
        """The most probable choice of every variable."""
        return [int(np.argmax(logits)) for logits in self.logits]

    def gradient(self, choices: Sequence[int | None], advantage: float) -> list[Array]:
        """Gradient of :math:`-A \\log \\pi(a)` by the logits, one array per variable:
        :math:`-A (e_a - \\pi)`, or zeros where the variable was not decided."""
        return [
            np.zeros(len(p)) if choice is None else -advantage * (np.eye(len(p))[choice] - p)
            for p, choice in zip(self.probabilities, choices, strict=True)
        ]

    def update(self, choices: Sequence[int | None], advantage: float) -> None:
        """One step of Adam that makes the choices more probable where the advantage is positive."""
        self._steps += 1
        first_beta, second_beta = _BETAS
        for variable, slope in enumerate(self.gradient(choices, advantage)):
            first, second = self._first[variable], self._second[variable]
            first += (1 - first_beta) * (slope - first)
            second += (1 - second_beta) * (slope**2 - second)
            mean = first / (1 - first_beta**self._steps)
            scale = np.sqrt(second / (1 - second_beta**self._steps)) + _EPSILON
            self.logits[variable] = self.logits[variable] - self._learning_rate * mean / scale


def _softmax(logits: Array) -> Array:
    shifted = np.exp(logits - logits.max())
    return np.asarray(shifted / shifted.sum())
