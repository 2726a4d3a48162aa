"""Scores in an SQLite file."""

from __future__ import annotations

import math
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tvtfast.scoring.cells import FINAL, Cell, Entry, ImageScores

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


class StoreError(RuntimeError):
    """The score store cannot be read or written."""


class ScoreFile:
    """The file of a `tvtfast.scoring.ScoreStore`.

    A process has one connection, which its threads take turns at; a process that was forked opens
    its own. Processes wait for each other up to a minute.

    Args:
        path: The file, made when missing.

    Raises:
        StoreError: Not a score store, unreadable, or on a full disk.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._inherited: list[sqlite3.Connection] = []
        self._open()

    def _open(self) -> None:
        self._lock, self._process = threading.RLock(), os.getpid()
        with self._explained():
            self.connection = sqlite3.connect(
                self.path, isolation_level=None, timeout=60, check_same_thread=False
            )
            self.connection.execute("PRAGMA journal_mode = WAL")
            self.connection.execute("PRAGMA synchronous = NORMAL")
            self.connection.execute(_SCORES)
            self.connection.execute(_IMAGE_SCORES)

    def get(self, keys: Iterable[str]) -> dict[str, Cell | float]:
        """The scores among ``keys`` that need not be computed again."""
        columns = "key, value, status, reason, seconds"
        return {
            key: Cell(math.nan if value is None else value, status, reason, seconds)
            for key, value, status, reason, seconds in self._rows("scores", columns, keys)
            if status in FINAL
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
            with self._turn() as connection:
                found = connection.execute(query, batch).fetchall()
            yield from found

    def put_images(self, scores: Iterable[tuple[str, ImageScores]]) -> None:
        """Keep scores of single images, all or none."""
        rows = [
            (key, np.asarray(images, _INDEX).tobytes(), np.asarray(values, _VALUE).tobytes())
            for key, (images, values) in scores
        ]
        with self._transaction() as connection:
            connection.executemany("INSERT OR IGNORE INTO image_scores VALUES (?, ?, ?)", rows)

    def put(self, scores: Iterable[tuple[Entry, Cell]]) -> None:
        """Keep scores, all or none; one that is there stays unless it may be computed again."""
        rows = [
            (
                entry.key,
                entry.text,
                cell.value if math.isfinite(cell.value) else None,
                cell.status,
                cell.reason,
                cell.seconds,
            )
            for entry, cell in scores
        ]
        if not rows:
            return
        with self._transaction() as connection:
            connection.executemany(
                "INSERT INTO scores VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET "
                "value = excluded.value, status = excluded.status, reason = excluded.reason, "
                f"seconds = excluded.seconds WHERE status NOT IN {FINAL}",
                rows,
            )

    def put_values(
        self, scores: Iterable[tuple[str, Callable[[], str], float]], seconds: float
    ) -> None:
        """`put` of finite scores: key, text and value of each."""
        self.put(
            (Entry(key, text()), Cell(value, "ok", "", seconds)) for key, text, value in scores
        )

    def __len__(self) -> int:
        with self._turn() as connection:
            count: int = connection.execute("SELECT COUNT(*) FROM scores").fetchone()[0]
        return count

    def close(self) -> None:
        """Release the file."""
        self.connection.close()

    @contextmanager
    def _turn(self) -> Iterator[sqlite3.Connection]:
        """The connection of this process, for one thread at a time."""
        if self._process != os.getpid():
            # Closing what is the parent's would end the parent's locks on the file.
            self._inherited.append(self.connection)
            self._open()
        with self._lock, self._explained():
            yield self.connection

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._turn() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                if connection.in_transaction:  # SQLite itself ends it when the disk is full
                    connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise StoreError(
                f"score store {self.path}: {error}; scores already committed are safe. Free disk "
                "space, check permissions, or move a damaged file away, then run again"
            ) from error
