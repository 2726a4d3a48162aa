"""Scores on disk: what was scored is never lost and never scored twice."""

from __future__ import annotations

import hashlib
import json
import math
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

STATUSES = ("ok", "nan", "unsupported", "error", "oom")
_FINAL = ("ok", "nan", "unsupported")
_LOOKUP_BATCH = 500

_SCHEMA = """
CREATE TABLE IF NOT EXISTS scores (
    key     TEXT PRIMARY KEY,
    fields  TEXT NOT NULL,
    value   REAL,
    status  TEXT NOT NULL,
    reason  TEXT NOT NULL,
    seconds REAL NOT NULL
) WITHOUT ROWID
"""


class StoreError(RuntimeError):
    """The score store cannot be read or written."""


@dataclass(frozen=True)
class Cell:
    """One score of one candidate.

    Args:
        value: The score; NaN unless ``status`` is ``ok``.
        status: ``ok``, ``nan`` (not a finite number), ``unsupported``, ``error`` or ``oom``.
        reason: What happened, in one line; empty when ``ok``.
        seconds: What it took.
    """

    value: float
    status: str = "ok"
    reason: str = ""
    seconds: float = 0.0


def score_key(fields: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON of everything that determines a score."""
    return hashlib.sha256(_canonical(fields).encode()).hexdigest()


def _canonical(fields: Mapping[str, Any]) -> str:
    return json.dumps(fields, sort_keys=True, separators=(",", ":"))


class ScoreStore:
    """An SQLite file of scores, keyed by everything that determines them.

    Every score is committed as it arrives: a process that is killed loses at most the one it was
    computing. Several processes may write to one store. Scores that failed for want of memory or by
    an exception are kept for the record and computed again when asked for.

    Args:
        path: The file, made when missing; ``None`` keeps scores in memory.

    Raises:
        StoreError: Not a score store, unreadable, or on a full disk.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = None if path is None else Path(path)
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._explained():
            self._connection = sqlite3.connect(
                ":memory:" if self.path is None else self.path, isolation_level=None, timeout=60
            )
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.execute(_SCHEMA)

    def get(self, keys: Iterable[str]) -> dict[str, Cell]:
        """The stored scores among ``keys`` that need not be computed again."""
        wanted = list(keys)
        found: dict[str, Cell] = {}
        with self._explained():
            for start in range(0, len(wanted), _LOOKUP_BATCH):
                batch = wanted[start : start + _LOOKUP_BATCH]
                marks = ",".join("?" * len(batch))
                query = (
                    f"SELECT key, value, status, reason, seconds FROM scores WHERE key IN ({marks})"
                )
                for key, value, status, reason, seconds in self._connection.execute(query, batch):
                    if status in _FINAL:
                        found[key] = Cell(
                            math.nan if value is None else value, status, reason, seconds
                        )
        return found

    def put(self, fields: Mapping[str, Any], cell: Cell) -> None:
        """Keep a score; one that is already there stays unless it may be computed again."""
        value = cell.value if math.isfinite(cell.value) else None
        with self._explained():
            self._connection.execute(
                "INSERT INTO scores VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET "
                "value = excluded.value, status = excluded.status, reason = excluded.reason, "
                f"seconds = excluded.seconds WHERE status NOT IN {_FINAL}",
                (
                    score_key(fields),
                    _canonical(fields),
                    value,
                    cell.status,
                    cell.reason,
                    cell.seconds,
                ),
            )

    def __len__(self) -> int:
        with self._explained():
            count: int = self._connection.execute("SELECT COUNT(*) FROM scores").fetchone()[0]
        return count

    def close(self) -> None:
        """Release the file."""
        self._connection.close()

    def __enter__(self) -> ScoreStore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise StoreError(
                f"score store {self.path or 'in memory'}: {error}; scores already committed are "
                "safe. Free disk space, check permissions, or move a damaged file away, then run "
                "again"
            ) from error
