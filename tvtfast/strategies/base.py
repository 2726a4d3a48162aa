"""What a strategy is, and the table of those known by name.

A strategy is a generator: it yields a population and is sent the population's combined scores (one
per candidate, higher is better, NaN where a candidate has none), until it returns.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from tvtfast.spaces import Constraints, Space, Step

Proposals: TypeAlias = Generator[list[Any], Sequence[float], None]


@dataclass(frozen=True)
class Budget:
    """What a strategy may spend, and where it must stay.

    Args:
        trials: Number of distinct architectures to propose.
        constraints: Windows every proposal must satisfy.
        seed: Seed of all draws.
        options: Model options the counts depend on.
        step_values: Summands of the score for some steps of the space, higher is better, where the
            search scores one proxy that is a sum over layers; else a ``ValueError`` that says why
            not.
    """

    trials: int
    constraints: Constraints | None = None
    seed: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    step_values: Callable[[Sequence[Step]], Sequence[float]] | None = None


Strategy: TypeAlias = Callable[[Space[Any], Budget], Proposals]

TRIALS = 1000
"""Architectures that a search scores where nothing else is said."""

LISTED = 10_000
"""Spaces up to this size are scored as a whole where nothing else is said."""

_strategies: dict[str, Strategy] = {}
_trials: dict[str, int | None] = {}


def register(name: str, strategy: Strategy, trials: int | None = TRIALS) -> None:
    """Add a strategy under a name.

    Args:
        name: How it is asked for.
        strategy: The generator function.
        trials: Architectures to propose where the user names no number; ``None`` for a strategy
            that takes no number.

    Raises:
        ValueError: The name is taken.
    """
    if name in _strategies:
        raise ValueError(f"a strategy named {name!r} is registered already; choose another name")
    _strategies[name], _trials[name] = strategy, trials


def choose(
    space: Space[Any], strategy: str | Strategy | None, trials: int | None
) -> tuple[str | Strategy, int | None]:
    """What to run where the user left something open.

    Args:
        space: The space to search.
        strategy: What was asked for. ``None``: ``exhaustive`` for a space of at most `LISTED`
            architectures where ``trials`` is open, too; else ``random``.
        trials: Architectures that were asked for. ``None``: what suits the strategy.

    Returns:
        The strategy, and its trials: ``None`` where it takes no number.

    Raises:
        ValueError: An unknown strategy, fewer than one trial, or a number for a strategy that takes
            none.
    """
    if strategy is None:
        strategy = "exhaustive" if trials is None and space.size <= LISTED else "random"
    propose = get(strategy)
    named = [name for name, known in _strategies.items() if known is propose]
    suited = _trials[named[0]] if named else TRIALS
    if trials is None:
        return strategy, suited
    if trials < 1:
        raise ValueError(f"trials is {trials}; give 1 or more")
    if suited is None:
        raise ValueError(
            f"strategy {named[0]!r} scores every architecture inside the constraints and trials is "
            f"{trials}; leave trials out, or choose strategy 'random'"
        )
    return strategy, trials


def available() -> tuple[str, ...]:
    """Names of the registered strategies."""
    return tuple(sorted(_strategies))


def get(name: str | Strategy) -> Strategy:
    """The strategy of a name; a strategy passes through.

    Raises:
        ValueError: An unknown name; the message lists the known ones.
    """
    if not isinstance(name, str):
        return name
    if name not in _strategies:
        raise ValueError(f"unknown strategy {name!r}; known: {', '.join(available())}")
    return _strategies[name]
