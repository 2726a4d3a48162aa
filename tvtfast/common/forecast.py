"""What a run will take, before it runs, and how far off that was when it has."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tvtfast.common.cost import Cost
from tvtfast.common.files import write_json
from tvtfast.common.foreign import reading

FORECAST = "forecast.json"
"""Name of the file in the folder of the run that is planned."""
_HOUR = 3600.0


@dataclass(frozen=True)
class Part:
    """One part of a run: seconds are ``fixed + divided + each * count``.

    Args:
        name: What is done.
        fixed: Seconds that do not depend on the size of the run.
        each: Seconds per candidate or epoch.
        shared: Whether workers share what ``each`` counts.
        divided: Seconds that do not depend on the size of the run, and that workers share.
        cores: Processor seconds per second.
    """

    name: str
    fixed: float = 0.0
    each: float = 0.0
    shared: bool = False
    divided: float = 0.0
    cores: float = 1.0

    def seconds(self, count: int, workers: int = 1) -> float:
        """Seconds of so many candidates or epochs."""
        each = self.each * count / (workers if self.shared else 1)
        return self.fixed + self.divided / workers + each


@dataclass(frozen=True)
class Forecast:
    """What a run will take.

    Args:
        command: What runs, such as ``search``.
        unit: What is counted: ``candidates`` or ``epochs``.
        count: How many of them are asked for.
        parts: What takes time.
        low: The least that the time may be, over the forecast.
        high: The most.
        memory: Bytes that the process will have resident; ``None`` where that is not known.
        disk: Bytes that the run folder will take; ``None`` likewise.
        basis: What it rests on, in a sentence.
        exact: Whether ``count`` is known before the run; growth decides by its scores how many
            candidates it has.
        assumed: What was not measured, by name; empty where everything was.
    """

    command: str
    unit: str
    count: int
    parts: tuple[Part, ...]
    low: float
    high: float
    memory: int | None
    disk: int | None
    basis: str
    exact: bool = True
    assumed: Mapping[str, str] = field(default_factory=dict)

    def seconds(self, workers: int = 1) -> float:
        """Wall time."""
        return sum(part.seconds(self.count, workers) for part in self.parts)

    def processor(self) -> float:
        """Processor seconds of one process."""
        return sum(part.cores * part.seconds(self.count) for part in self.parts)

    def interval(self, workers: int = 1) -> tuple[float, float]:
        """The least and the most that it may take."""
        seconds = self.seconds(workers)
        return seconds * self.low, seconds * self.high

    def shares(self, workers: int = 1) -> dict[str, float]:
        """Of every part in the time, by name."""
        total = self.seconds(workers)
        return {part.name: part.seconds(self.count, workers) / total for part in self.parts}

    def fitting(self, hours: float, workers: int = 1) -> int:
        """How many candidates or epochs fit into a time; 0 where not even what is fixed does."""
        fixed = sum(part.seconds(0, workers) for part in self.parts)
        each = sum(part.seconds(1, workers) for part in self.parts) - fixed
        left = hours * _HOUR - fixed
        return max(0, math.floor(left / each)) if each > 0 else 0

    def error(self, seconds: float, workers: int = 1) -> float:
        """How far off it was, over the time that was taken: 0.1 where 10 % too much was said."""
        return self.seconds(workers) / seconds - 1

    def write(self, folder: Path) -> None:
        """Keep it where the run will be."""
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / FORECAST, asdict(self))


def read_forecast(folder: Path) -> Forecast | None:
    """What was forecast for the run of a folder; ``None`` where nothing was.

    Raises:
        BadFileError: The file is damaged.
    """
    path = folder / FORECAST
    if not path.is_file():
        return None
    with reading(path, "a forecast", advice="remove it, or plan again"):
        found = json.loads(path.read_text(encoding="utf-8"))
        plain = Forecast(**found)
        return replace(plain, parts=tuple(Part(**part) for part in found["parts"]))


def outcome(folder: Path, command: str, count: int, cost: Cost) -> Mapping[str, Any] | None:
    """What a forecast said for the processes that worked and what came of it, as plain values;
    ``None`` where nothing was said of this run: of another command, of another size, or for a
    device that this machine lacks.

    Args:
        folder: Of the run.
        command: What ran.
        count: Candidates or epochs.
        cost: What it took.
    """
    said = read_forecast(folder)
    if said is None or said.command != command or said.assumed:
        return None
    if said.exact and said.count != count:
        return None
    seconds, workers = cost.wall_seconds, cost.processes
    processor = cost.processor_seconds if workers == 1 else 0.0  # of the first process alone
    low, high = said.interval(workers)
    return {
        "workers": workers,
        "seconds": said.seconds(workers),
        "low": low,
        "high": high,
        "took": seconds,
        "error": said.error(seconds, workers),
        "processor_seconds": said.processor(),
        "processor_took": processor,
        "processor_error": said.processor() / processor - 1 if processor else None,
    }
