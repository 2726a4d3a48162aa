"""What a strategy is, and the table of those known by name.

A strategy is a generator: it yields a population and is sent the population's `Scores`, until it
returns, either nothing or the architecture it has arrived at.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from tvtfast.common import checks
from tvtfast.common.names import did_you_mean, unknown
from tvtfast.common.plugins import Plugins
from tvtfast.spaces import Constraints, Space, Step
from tvtfast.strategies.feedback import Scores

Proposals: TypeAlias = Generator[list[Any], Scores, Any]


def _unheard(**notes: float) -> None:
    """Notes of a strategy that nobody runs for their sake."""


def _unkept(table: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows of a table that nobody keeps."""


@dataclass(frozen=True)
class Budget:
    """What a strategy may spend, and where it must stay.

    Args:
        trials: Number of distinct architectures to propose.
        constraints: Windows of parameters and FLOPs that every proposal must satisfy.
        seed: Seed of all draws.
        options: Model options the counts depend on.
        step_values: Summands of the score for some steps of the space, higher is better, where the
            search scores one proxy that is a sum over layers; else a ``ValueError`` that says why
            not.
        objectives: Columns that a strategy optimises side by side, and whether higher is better.
        note: Takes numbers by name (``note(entropy=1.5)``) for the trace of the search, where they
            stand beside the population yielded next.
        note_scored: Takes numbers likewise for the population whose scores were received last, such
            as the reward that they mean.
        keep: Takes rows for a table of the search by name, each a mapping from column to value:
            ``keep("policy", rows)`` ends up in ``policy.csv`` of the run folder.
    """

    trials: int
    constraints: Constraints | None = None
    seed: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    step_values: Callable[[Sequence[Step]], Sequence[float]] | None = None
    objectives: Mapping[str, bool] = field(default_factory=dict)
    note: Callable[..., None] = _unheard
    note_scored: Callable[..., None] = _unheard
    keep: Callable[[str, Sequence[Mapping[str, Any]]], None] = _unkept


Strategy: TypeAlias = Callable[[Space[Any], Budget], Proposals]

TRIALS = 1000
"""Architectures that a search scores where nothing else is said."""

LISTED = 10_000
"""Spaces up to this size are scored as a whole where nothing else is said."""


@dataclass(frozen=True)
class Traits:
    """What a search must know about a strategy before it starts.

    Args:
        trials: Architectures to propose where the user names no number; ``None`` for a strategy
            that takes no number.
        racing: Whether its populations may be raced: ``True`` wherever that is worth it, for a
            strategy of one population; ``None`` only where the user asks for it, since later
            populations build on estimates; ``False`` never.
        front: Whether it looks for a Pareto front, and not for one best architecture.
    """

    trials: int | None = TRIALS
    racing: bool | None = None
    front: bool = False


_strategies: dict[str, Strategy] = {}
_traits: dict[str, Traits] = {}


def register(
    name: str,
    strategy: Strategy,
    trials: int | None = TRIALS,
    *,
    racing: bool | None = None,
    front: bool = False,
) -> None:
    """Add a strategy under a name.

    Args:
        name: How it is asked for.
        strategy: The generator function, or a dataclass with settings that is called like one.
        trials: See `Traits`, as the rest.
        racing: See `Traits`.
        front: See `Traits`.

    Raises:
        ValueError: The name is taken, perhaps by a strategy of an installed package.
    """
    if name in _strategies:
        raise ValueError(f"a strategy named {name!r} is registered already; choose another name")
    PLUGINS.refuse_taken(name, strategy)
    _strategies[name], _traits[name] = strategy, Traits(trials, racing, front)


def _enter(name: str, brought: Any) -> None:
    """Register what a package brings along, unless its module did."""
    if not callable(brought) or isinstance(brought, type):
        raise TypeError(f"it is {brought!r}, and no function and no object with settings")
    if _strategies.get(name) is not brought:
        register(name, brought)


PLUGINS: Plugins[Strategy] = Plugins("tvtfast.strategies", "strategy", lambda: _strategies, _enter)


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
    suited = traits(strategy).trials
    if trials is None:
        return strategy, suited
    trials = checks.whole("trials", trials, least=1)
    if suited is None:
        raise ValueError(
            f"strategy {name_of(strategy)!r} scores every architecture inside the constraints and "
            f"trials is {trials}; leave trials out, or choose strategy 'random'"
        )
    return strategy, trials


def available() -> tuple[str, ...]:
    """Names of the registered strategies, and of those that installed packages bring along."""
    return tuple(sorted({*_strategies, *PLUGINS.names()}))


def get(name: str | Strategy) -> Strategy:
    """The strategy of a name; a strategy passes through.

    Raises:
        ValueError: An unknown name; the message lists the known ones.
        PluginError: It is that of an installed package, and cannot be loaded.
    """
    if callable(name):
        return name
    found = PLUGINS.find(name) if isinstance(name, str) else None
    if found is None:
        raise ValueError(unknown("strategy", name, available(), also="a strategy of your own"))
    return found


def configured(name: str, settings: Mapping[str, Any]) -> Strategy:
    """The strategy of a name with other settings: ``configured("evolution", {"population": 20})``.

    Raises:
        ValueError: An unknown strategy or setting, or a value that the strategy refuses.
    """
    strategy = get(name)
    if not settings:
        return strategy
    known = list(settings_of(strategy))
    missing = [setting for setting in settings if setting not in known]
    if missing:
        raise ValueError(
            f"strategy {name!r} has no setting {', '.join(missing)}; "
            f"it has {', '.join(known) or 'none'}{did_you_mean(missing[0], known)}"
        )
    return dataclasses.replace(strategy, **settings)  # type: ignore[type-var]


def settings_of(strategy: str | Strategy) -> dict[str, Any]:
    """The settings of a strategy that has some."""
    found = get(strategy)
    if not dataclasses.is_dataclass(found) or isinstance(found, type):
        return {}
    return dataclasses.asdict(found)


def name_of(strategy: str | Strategy) -> str:
    """The name a strategy is registered under, whatever its settings; else its own."""
    found = get(strategy)
    for name, known in _strategies.items():
        if known is found or (dataclasses.is_dataclass(known) and type(known) is type(found)):
            return name
    return getattr(found, "__name__", type(found).__name__)


def traits(strategy: str | Strategy) -> Traits:
    """What a search must know about a strategy; of one that is not registered, the defaults."""
    return _traits.get(name_of(strategy), Traits())
