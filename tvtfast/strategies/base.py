"""What a strategy is, and the table of those known by name.

A strategy is a generator: it yields a population and is sent the population's combined scores (one
per candidate, higher is better, NaN where a candidate has none), until it returns.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from tvtfast.spaces import Constraints, Space

Proposals: TypeAlias = Generator[list[Any], Sequence[float], None]


@dataclass(frozen=True)
class Budget:
    """What a strategy may spend, and where it must stay.

    Args:
        trials: Number of distinct architectures to propose.
        constraints: Windows every proposal must satisfy.
        seed: Seed of all draws.
        options: Model options the counts depend on.
    """

    trials: int
    constraints: Constraints | None = None
    seed: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)


Strategy: TypeAlias = Callable[[Space[Any], Budget], Proposals]

_strategies: dict[str, Strategy] = {}


def register(name: str, strategy: Strategy) -> None:
    """Add a strategy under a name.

    Raises:
        ValueError: The name is taken.
    """
    if name in _strategies:
        raise ValueError(f"a strategy named {name!r} is registered already; choose another name")
    _strategies[name] = strategy


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
