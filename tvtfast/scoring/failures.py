"""What an exception of a proxy, or on the way to one, means for a score."""

from __future__ import annotations

import math

from tvtfast.common.memory import is_out_of_memory
from tvtfast.models import UnsupportedModelError
from tvtfast.proxies import UndefinedScoreError
from tvtfast.scoring.cells import Cell


class ScoringError(RuntimeError):
    """A candidate could not be scored, and ``on_error="raise"`` or `tvtfast.Measure` was asked."""


def failure_cell(error: Exception, seconds: float) -> Cell:
    """The cell of a score that could not be computed."""
    reason = f"{type(error).__name__}: {' '.join(str(error).split())}"[:500]
    return Cell(math.nan, _status_of(error), reason, seconds)


def may_fall_back(error: Exception) -> bool:
    """Whether a slower way may succeed where a fast one raised this; a bug is never one."""
    return isinstance(error, UnsupportedModelError) or is_out_of_memory(error)


def _status_of(error: Exception) -> str:
    if isinstance(error, UnsupportedModelError):
        return "unsupported"
    if isinstance(error, UndefinedScoreError):
        return "nan"
    return "oom" if is_out_of_memory(error) else "error"
