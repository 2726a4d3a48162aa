"""One score of one candidate, and the key that it is stored under."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

STATUSES = ("ok", "partial", "infeasible", "nan", "unsupported", "error", "oom")
"""What a table says of its cells. ``infeasible`` is no status of a score, but of a value outside
the constraints of one search."""

FINAL = ("ok", "nan", "unsupported")
"""Scores that need not be computed again."""

ImageScores: TypeAlias = "tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]"
"""Indices of images, and the scores of one candidate for them."""


class Cell(NamedTuple):
    """One score of one candidate.

    Args:
        value: The score; NaN unless ``status`` is ``ok`` or ``partial``.
        status: ``ok``, ``partial`` (estimated from some of the images; never stored), ``nan`` (not
            a finite number), ``unsupported``, ``error`` or ``oom``.
        reason: What happened, in one line; empty when ``ok``.
        seconds: What it took.
    """

    value: float
    status: str = "ok"
    reason: str = ""
    seconds: float = 0.0


def value_of(cell: Cell | float) -> float:
    """The value of a cell; a number is a cell with status ``ok``."""
    return cell.value if isinstance(cell, Cell) else cell


class Entry(NamedTuple):
    """What a score is stored under.

    Args:
        key: SHA-256 of ``text``.
        text: Canonical JSON of everything that determines the score.
    """

    key: str
    text: str

    @classmethod
    def of(cls, text: str) -> Entry:
        """The entry of a canonical text."""
        return cls(hashlib.sha256(text.encode()).hexdigest(), text)


def canonical(value: Any) -> str:
    """JSON with sorted keys and without white space."""
    return _ENCODER.encode(value)


def score_key(fields: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON of everything that determines a score."""
    return Entry.of(canonical(fields)).key


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
