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


Around: TypeAlias = "tuple[str, str]"
"""What is in front of a candidate and what is behind it, in the text that a score is stored
under."""

CANDIDATE = "candidate"
"""The name of the candidate among what determines a score."""


class Entry(NamedTuple):
    """What a score is stored under.

    Args:
        key: SHA-256 of the text, as hexadecimal digits.
        around: The part of the text that many candidates have in common.
        candidate: The part that is its own, as canonical JSON.
    """

    key: str
    around: Around
    candidate: str

    @property
    def text(self) -> str:
        """Canonical JSON of everything that determines the score."""
        return f"{self.around[0]}{self.candidate}{self.around[1]}"

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Entry:
        """The entry of everything that determines a score."""
        text = canonical(fields)
        if CANDIDATE not in fields:
            return cls(_digest(text), (text, ""), "")
        around = around_candidate(fields)
        return cls(_digest(text), around, canonical(fields[CANDIDATE]))


def around_candidate(fields: Mapping[str, Any]) -> Around:
    """The canonical JSON of everything that determines a score, but for the candidate."""
    before = canonical({name: fields[name] for name in fields if name < CANDIDATE})[1:-1]
    after = canonical({name: fields[name] for name in fields if name > CANDIDATE})[1:-1]
    return (
        f'{{{before}{"," if before else ""}"{CANDIDATE}":',
        f"{',' if after else ''}{after}}}",
    )


def canonical(value: Any) -> str:
    """JSON with sorted keys and without white space."""
    return _ENCODER.encode(value)


def score_key(fields: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON of everything that determines a score."""
    return _digest(canonical(fields))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
