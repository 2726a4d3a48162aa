"""What forecasts have in common: the folder of a small run, and what it measured."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LEAST_DOUBT = 0.15
"""Share by which a forecast may be off at the least: what clocks of a machine at rest differ by."""


@contextmanager
def small_run() -> Iterator[Path]:
    """A folder for a small run, which is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="tvtfast-plan-") as made:
        yield Path(made)


def size_of(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def load() -> str:
    """How busy the machine is, in words."""
    if not hasattr(os, "getloadavg"):
        return "at unknown load"
    return f"at load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
