"""What a search leaves in its folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tvtfast.common.files import write_csv, write_json
from tvtfast.common.machine import machine, versions
from tvtfast.scoring.ranking import Method
from tvtfast.scoring.setup import Setup
from tvtfast.searching.result import SearchResult
from tvtfast.spaces import Constraints
from tvtfast.strategies import Strategy, name_of, settings_of

if TYPE_CHECKING:
    import pandas as pd

RUN = "run.json"
TRACE = "trace.csv"


class Record:
    """The files of a search; nothing is written where there is no folder.

    Args:
        folder: The run folder, if there is one.
        settings: What the search was asked for.
    """

    def __init__(self, folder: Path | None, settings: Mapping[str, Any]) -> None:
        self.folder = folder
        self._run = {"settings": settings, "versions": versions(), "machine": machine()}
        self._write_run({"status": "running"})

    def trace(self, trace: pd.DataFrame) -> None:
        """One line per population."""
        if self.folder is not None:
            write_csv(self.folder / TRACE, trace)

    def result(self, result: SearchResult) -> None:
        """Scores, trace, the best and the front."""
        if self.folder is None:
            return
        result.table.to_csv(self.folder / "scores.csv")
        result.table.to_parquet(self.folder / "scores.parquet")
        self.trace(result.trace)
        if result.order:
            write_json(self.folder / "best.json", result.describe_best())
        if result.objectives:
            front = [result.describe(row) for row in result.front]
            write_json(self.folder / "front.json", front)

    def finished(self, result: SearchResult) -> None:
        """The search came to its end."""
        race = result.table.race
        self._write_run(
            {
                "status": "finished",
                "seconds": result.timings,
                "race": None if race is None else race.describe(),
                "fallbacks": [fallback.to_dict() for fallback in result.fallbacks],
            }
        )

    def failed(self, error: BaseException) -> None:
        """The search was stopped by ``error``."""
        status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        self._write_run({"status": status, "error": repr(error)})

    def _write_run(self, state: Mapping[str, Any]) -> None:
        if self.folder is not None:
            write_json(self.folder / RUN, {**self._run, **state})


def search_settings(
    setup: Setup,
    strategy: str | Strategy,
    trials: int | None,
    constraints: Constraints | None,
    method: Method,
) -> dict[str, Any]:
    """What a search was asked for, as JSON knows it."""
    batch, teacher = setup.batch, setup.teacher
    return {
        "space": None if setup.space is None else setup.space.name,
        "strategy": name_of(strategy),
        "strategy_settings": settings_of(strategy),
        "trials": trials,
        "constraints": {name: list(_pair(bounds)) for name, bounds in (constraints or {}).items()},
        "proxies": [*(p.name for p in setup.single), *(p.name for p in setup.combined)],
        "method": _name(method),
        "seed": setup.seeds[0],
        "init_seeds": len(setup.seeds),
        "dtype": setup.conditions.dtype,
        "device": str(setup.conditions.device),
        "protocol": setup.protocol,
        "images": None if batch is None else batch.name,
        "images_fingerprint": None if batch is None else batch.fingerprint,
        "teacher": None if teacher is None else teacher.name,
        "teacher_fingerprint": None if teacher is None else teacher.fingerprint,
        "model_options": asdict(setup.options),
    }


def _pair(bounds: Any) -> tuple[Any, Any]:
    return (None, bounds) if isinstance(bounds, (int, float)) else tuple(bounds)


def _name(given: Any) -> str:
    return given if isinstance(given, str) else getattr(given, "__name__", type(given).__name__)
