"""Scores in an SQLite file."""

from __future__ import annotations

import math
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from tvtfast.scoring.cells import FINAL, Around, Cell, Entry, ImageScores
from tvtfast.scoring.store_error import StoreError
from tvtfast.scoring.store_place import Place
from tvtfast.scoring.store_schema import context_of, prepare, row_of

_LOOKUP_BATCH = 500
_CACHE = 64 * 2**20
"""Bytes of the file that a connection keeps in memory; most of the index of a million scores."""
_LOG = 65536
"""Pages that the write-ahead log has before they go into the file: pages of the index that many
commits change are then written once. The log takes 256 MiB on disk at most, and some more."""
_INDEX, _VALUE = "<i4", "<f8"
_PUT = (
    "INSERT INTO cells VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET "
    "value = excluded.value, status = excluded.status, reason = excluded.reason, "
    f"seconds = excluded.seconds WHERE status NOT IN {FINAL}"
)


class ScoreFile:
    """The file of a `tvtfast.scoring.ScoreStore`.

    A process has one connection, which its threads take turns at; a process that was forked opens
    its own. Processes of one machine wait for each other up to a minute.

    Args:
        path: The file, made when missing.

    Raises:
        StoreError: Not a score store, one of a newer version, unreadable, on a full disk, or in use
            by another machine.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._inherited: list[tuple[sqlite3.Connection, Place]] = []
        self._open()

    def _open(self) -> None:
        self._lock, self._process = threading.RLock(), os.getpid()
        self._contexts: dict[Around, int] = {}
        self._place = Place(self.path)
        with self._explained():
            self.connection = sqlite3.connect(
                self.path, isolation_level=None, timeout=60, check_same_thread=False
            )
            self.connection.execute(f"PRAGMA journal_mode = {self._place.journal}")
            self.connection.execute("PRAGMA synchronous = NORMAL")
            self.connection.execute(f"PRAGMA cache_size = {-_CACHE // 1024}")
            self.connection.execute(f"PRAGMA wal_autocheckpoint = {_LOG}")
            prepare(self.connection, self.path)

    def get(self, keys: Iterable[str]) -> dict[str, Cell | float]:
        """The scores among ``keys`` that need not be computed again."""
        columns = "key, value, status, reason, seconds"
        return {
            key.hex(): Cell(math.nan if value is None else value, status, reason, seconds)
            for key, value, status, reason, seconds in self._rows(
                "cells", columns, map(bytes.fromhex, keys)
            )
            if status in FINAL
        }

    def get_images(self, keys: Iterable[str]) -> Iterator[tuple[str, ImageScores]]:
        """What is stored of single images; a key may come several times."""
        for key, images, scores in self._rows("image_scores", "key, images, scores", keys):
            yield key, (np.frombuffer(images, _INDEX), np.frombuffer(scores, _VALUE))

    def _rows(
        self, table: str, columns: str, keys: Iterable[str | bytes]
    ) -> Iterator[tuple[Any, ...]]:
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
        given = list(scores)
        if not given:
            return
        with self._transaction() as connection:
            rows = [
                row_of(entry, cell, context_of(connection, entry.around, self._contexts))
                for entry, cell in given
            ]
            self._insert(connection, rows)

    def put_values(
        self, around: Around, scores: Iterable[tuple[str, str, float]], seconds: float
    ) -> None:
        """`put` of finite scores: key, candidate and value of each."""
        given = list(scores)
        if not given:
            return
        with self._transaction() as connection:
            context = context_of(connection, around, self._contexts)
            rows = [
                (bytes.fromhex(key), context, candidate, value, "ok", "", seconds)
                for key, candidate, value in given
            ]
            self._insert(connection, rows)

    def _insert(self, connection: sqlite3.Connection, rows: list[tuple[Any, ...]]) -> None:
        # in the order of the index, whose pages are then met once each
        connection.executemany(_PUT, sorted(rows, key=itemgetter(0)))

    def __len__(self) -> int:
        with self._turn() as connection:
            count: int = connection.execute("SELECT COUNT(*) FROM cells").fetchone()[0]
        return count

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection, for queries of one's own; other threads wait meanwhile."""
        with self._turn() as connection:
            yield connection

    def close(self) -> None:
        """Release the file."""
        self.connection.close()
        self._place.release()

    @contextmanager
    def _turn(self) -> Iterator[sqlite3.Connection]:
        """The connection of this process, for one thread at a time."""
        if self._process != os.getpid():
            # Closing what is the parent's would end the parent's locks on the file.
            self._inherited.append((self.connection, self._place))
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
                self._contexts.clear()  # those that are new go with the transaction
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
