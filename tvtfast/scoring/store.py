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
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

STORE = "scores.sqlite"

STATUSES = ("ok", "partial", "infeasible", "nan", "unsupported", "error", "oom")
"""What a table says of its cells. ``infeasible`` is no status of a score, but of a value outside
the constraints of one search."""

_FINAL = ("ok", "nan", "unsupported")
_LOOKUP_BATCH = 500

_SCORES = """
CREATE TABLE IF NOT EXISTS scores (
    key     TEXT PRIMARY KEY,
    fields  TEXT NOT NULL,
    value   REAL,
    status  TEXT NOT NULL,
    reason  TEXT NOT NULL,
    seconds REAL NOT NULL
) WITHOUT ROWID
"""
_IMAGE_SCORES = """
CREATE TABLE IF NOT EXISTS image_scores (
    key    TEXT NOT NULL,
    images BLOB NOT NULL,
    scores BLOB NOT NULL,
    PRIMARY KEY (key, images)
) WITHOUT ROWID
"""
_INDEX, _VALUE = "<i4", "<f8"

ImageScores: TypeAlias = "tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]"
"""Indices of images, and the scores of one candidate for them."""


class StoreError(RuntimeError):
    """The score store cannot be read or written."""


@dataclass(frozen=True)
class Cell:
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
            self._connection.execute(_SCORES)
            self._connection.execute(_IMAGE_SCORES)

    def get(self, keys: Iterable[str]) -> dict[str, Cell]:
        """The stored scores among ``keys`` that need not be computed again."""
        columns = "key, value, status, reason, seconds"
        return {
            key: Cell(math.nan if value is None else value, status, reason, seconds)
            for key, value, status, reason, seconds in self._rows("scores", columns, keys)
            if status in _FINAL
        }

    def get_images(self, keys: Iterable[str]) -> Iterator[tuple[str, ImageScores]]:
        """What is stored of single images; a key may come several times."""
        for key, images, scores in self._rows("image_scores", "key, images, scores", keys):
            yield key, (np.frombuffer(images, _INDEX), np.frombuffer(scores, _VALUE))

    def _rows(self, table: str, columns: str, keys: Iterable[str]) -> Iterator[tuple[Any, ...]]:
        wanted = list(keys)
        for start in range(0, len(wanted), _LOOKUP_BATCH):
            batch = wanted[start : start + _LOOKUP_BATCH]
            marks = ",".join("?" * len(batch))
            query = f"SELECT {columns} FROM {table} WHERE key IN ({marks})"
            with self._explained():
                found = self._connection.execute(query, batch).fetchall()
            yield from found

    def put_images(self, scores: Iterable[tuple[str, ImageScores]]) -> None:
        """Keep scores of single images, all or none; those of a score that is not complete yet are
        lost no more than others."""
        rows = [
            (key, np.asarray(images, _INDEX).tobytes(), np.asarray(values, _VALUE).tobytes())
            for key, (images, values) in scores
        ]
        with self._explained(), self._transaction():
            self._connection.executemany(
                "INSERT OR IGNORE INTO image_scores VALUES (?, ?, ?)", rows
            )

    def put(self, scores: Iterable[tuple[Mapping[str, Any], Cell]]) -> None:
        """Keep scores, all or none; one that is already there stays unless it may be computed
        again.

        Args:
            scores: What determines each score, and the score.
        """
        rows = [
            (
                score_key(fields),
                _canonical(fields),
                cell.value if math.isfinite(cell.value) else None,
                cell.status,
                cell.reason,
                cell.seconds,
            )
            for fields, cell in scores
        ]
        with self._explained(), self._transaction():
            self._connection.executemany(
                "INSERT INTO scores VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET "
                "value = excluded.value, status = excluded.status, reason = excluded.reason, "
                f"seconds = excluded.seconds WHERE status NOT IN {_FINAL}",
                rows,
            )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self._connection.in_transaction:  # SQLite itself ends it when the disk is full
                self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

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
