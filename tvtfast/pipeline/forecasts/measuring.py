"""What forecasts have in common: the folder of a small run, and what it measured."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tvtfast.common.cost import Cost
from tvtfast.common.run_folder import cost_of, read_record

LEAST_DOUBT = 0.15
"""Share by which a forecast may be off at the least: what clocks of a machine at rest differ by."""


@dataclass(frozen=True)
class Small:
    """What the record of a small run says.

    Args:
        cost: What it cost.
        disk: Bytes of its folder.
    """

    cost: Cost
    disk: int

    @classmethod
    def of(cls, folder: Path) -> Small:
        """Of the run in a folder."""
        return cls(cost_of(read_record(folder)), size_of(folder))

    @property
    def cores(self) -> float:
        """Processor seconds per second."""
        return cores(self.cost.processor_seconds, self.cost.wall_seconds)


@contextmanager
def small_run() -> Iterator[Path]:
    """A folder for a small run, which is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="tvtfast-plan-") as made:
        yield Path(made)


def cores(processor: float, seconds: float) -> float:
    """Processor seconds per second; 1 where too little was measured."""
    return max(0.0, processor) / seconds if seconds > 0 else 1.0


def size_of(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def interval(spread: float) -> tuple[float, float]:
    """The least and the most over the forecast, of runs that differed by so much."""
    doubt = max(LEAST_DOUBT, spread)
    return 1 / (1 + doubt), 1 + doubt


def load() -> str:
    """How busy the machine is, in words."""
    if not hasattr(os, "getloadavg"):
        return "at unknown load"
    return f"at load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
