"""What a search leaves in its folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tvtfast.common.files import write_csv, write_json
from tvtfast.common.identity import Identity
from tvtfast.common.run_folder import RunFolder
from tvtfast.report import draw_live
from tvtfast.scoring.identity import scoring_settings
from tvtfast.scoring.ranking import Method
from tvtfast.scoring.setup import Setup
from tvtfast.scoring.store import STORE, ScoreStore
from tvtfast.searching.result import SearchResult
from tvtfast.spaces import COUNTS, Constraints
from tvtfast.strategies import Strategy, name_of, settings_of

if TYPE_CHECKING:
    import pandas as pd

TRACE = "trace.csv"
SCORES = "scores.csv"
BEST = "best.json"


def search_folder(given: str | os.PathLike[str], settings: Mapping[str, Any]) -> RunFolder:
    """The run folder of a search.

    The same search goes on with more trials; windows of scores may be moved, since scores do not
    depend on them.

    Raises:
        OtherRunError: The folder holds another search.
        BusyError: Another process searches in it.
    """
    identity = Identity("search", settings, growing=("trials",), moving=("constraints",))
    return RunFolder(given, identity, holds=_holds, draw=draw_live)


def _holds(folder: Path) -> bool:
    if any((folder / name).exists() for name in (SCORES, BEST, TRACE)):
        return True
    if not (folder / STORE).exists():
        return False
    with ScoreStore(folder / STORE) as store:
        return len(store) > 0


def write_trace(folder: Path, trace: pd.DataFrame) -> None:
    """One line per population."""
    write_csv(folder / TRACE, trace)


def write_result(folder: Path, result: SearchResult) -> None:
    """Scores, trace, tables of the strategy, the best and the front."""
    result.table.to_csv(folder / SCORES)
    write_trace(folder, result.trace)
    for name, table in result.tables.items():
        write_csv(folder / f"{name}.csv", table)
    if result.order:
        write_json(folder / BEST, result.describe_best())
    if result.objectives:
        write_json(folder / "front.json", [result.describe(row) for row in result.front])


def summary(result: SearchResult) -> dict[str, Any]:
    """What the record says of a finished search."""
    race = result.table.race
    return {
        "seconds": result.timings,
        "race": None if race is None else race.describe(),
        "fallbacks": [fallback.to_dict() for fallback in result.fallbacks],
        "judgement": None if result.judgement is None else result.judgement.to_dict(),
    }


def search_settings(
    setup: Setup,
    strategy: str | Strategy,
    trials: int | None,
    constraints: Constraints | None,
    method: Method,
) -> dict[str, Any]:
    """What a search was asked for and what its result depends on, as JSON knows it."""
    windows = {name: list(_pair(bounds)) for name, bounds in (constraints or {}).items()}
    return {
        "space": None if setup.space is None else setup.space.name,
        "strategy": name_of(strategy),
        "strategy_settings": settings_of(strategy),
        "trials": trials,
        "constraints": windows,
        "sizes": {name: window for name, window in windows.items() if name in COUNTS},
        "method": _name(method),
        **scoring_settings(setup),
    }


def _pair(bounds: Any) -> tuple[Any, Any]:
    return (None, bounds) if isinstance(bounds, Real) else tuple(bounds)


def _name(given: Any) -> str:
    return given if isinstance(given, str) else getattr(given, "__name__", type(given).__name__)
