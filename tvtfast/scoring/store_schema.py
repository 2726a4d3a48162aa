"""The tables of a score store, their version, and the way from an older one."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from tvtfast.common.fallbacks import logger
from tvtfast.common.files import replacing
from tvtfast.scoring.cells import Around, Cell, Entry
from tvtfast.scoring.store_error import StoreError

SCHEMA = 2
"""The version of the tables, in the header of the file (``PRAGMA user_version``).

1: one table ``scores``, whose rows repeat all that a score depends on; the header says 0.
2: ``contexts`` has what many scores depend on once, ``cells`` a row per score, ``scores`` is a view
with the columns of version 1, and ``about`` names the oldest tvtfast that knows the tables."""
_NEEDS = "0.1.0"

_TABLES = (
    """CREATE TABLE contexts (
        id     INTEGER PRIMARY KEY,
        before TEXT NOT NULL,
        after  TEXT NOT NULL,
        UNIQUE (before, after)
    )""",
    """CREATE TABLE cells (
        key       BLOB NOT NULL UNIQUE,
        context   INTEGER NOT NULL REFERENCES contexts,
        candidate TEXT NOT NULL,
        value     REAL,
        status    TEXT NOT NULL,
        reason    TEXT NOT NULL,
        seconds   REAL NOT NULL
    )""",
    "CREATE INDEX cells_by_value ON cells (context, value)",
    """CREATE VIEW scores AS
        SELECT lower(hex(key)) AS key, before || candidate || after AS fields,
               value, status, reason, seconds
        FROM cells JOIN contexts ON contexts.id = cells.context""",
    """CREATE TABLE IF NOT EXISTS image_scores (
        key    TEXT NOT NULL,
        images BLOB NOT NULL,
        scores BLOB NOT NULL,
        PRIMARY KEY (key, images)
    ) WITHOUT ROWID""",
    "CREATE TABLE about (needs TEXT NOT NULL)",
)
_FIRST = {"key", "fields", "value", "status", "reason", "seconds"}
"""Columns of version 1."""
_INSERT = "INSERT OR IGNORE INTO cells VALUES (?, ?, ?, ?, ?, ?, ?)"


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Make the tables of an empty file, or upgrade those of an older version, all or nothing; the
    file as it was stays beside it, as ``<name>.schema-1``.

    Raises:
        StoreError: The file is of a newer version, or some other database.
    """
    if _version(connection) == SCHEMA:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        _prepare(connection, path)
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    found = _version(connection)
    if found == SCHEMA:  # another process was faster
        return
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    if found > SCHEMA:
        raise StoreError(_newer(connection, path, found, names))
    if not names:
        _make(connection)
        return
    columns = {row[1] for row in connection.execute("PRAGMA table_info(scores)")}
    if found != 0 or columns != _FIRST:
        raise StoreError(
            f"{path} is a database without scores (tables: {', '.join(sorted(names))}); give "
            "another file"
        )
    copy = path.with_name(f"{path.name}.schema-1")
    _copy(path, copy)
    connection.execute("ALTER TABLE scores RENAME TO first")
    _make(connection)
    old = connection.execute("SELECT key, fields, value, status, reason, seconds FROM first")
    contexts: dict[Around, int] = {}
    connection.executemany(_INSERT, _upgraded(connection, old, contexts))
    connection.execute("DROP TABLE first")
    logger.warning(
        "score store %s is of an earlier version and was upgraded (schema 1 to %d); %s is the file "
        "as it was, and is no longer needed",
        path,
        SCHEMA,
        copy,
    )


def context_of(connection: sqlite3.Connection, around: Around, known: dict[Around, int]) -> int:
    """The number of a context, which is made where it is new.

    Args:
        connection: In a transaction.
        around: The text around a candidate.
        known: Numbers found earlier; gets this one.
    """
    number = known.get(around)
    if number is None:
        connection.execute("INSERT OR IGNORE INTO contexts (before, after) VALUES (?, ?)", around)
        query = "SELECT id FROM contexts WHERE before = ? AND after = ?"
        number = known[around] = connection.execute(query, around).fetchone()[0]
    return number


def row_of(entry: Entry, cell: Cell, context: int) -> tuple[Any, ...]:
    """A score as a row of ``cells``; what is not a finite number has no value there."""
    key, (value, *rest) = bytes.fromhex(entry.key), cell
    return key, context, entry.candidate, value if math.isfinite(value) else None, *rest


def _make(connection: sqlite3.Connection) -> None:
    for table in _TABLES:
        connection.execute(table)
    connection.execute("INSERT INTO about VALUES (?)", (_NEEDS,))
    connection.execute(f"PRAGMA user_version = {SCHEMA}")


def _upgraded(
    connection: sqlite3.Connection, old: Iterable[Any], contexts: dict[Around, int]
) -> Iterator[tuple[Any, ...]]:
    for key, text, value, status, reason, seconds in old:
        entry = Entry.of(json.loads(text))
        if entry.text != text:  # written by other hands
            entry = Entry(key, (text, ""), "")
        cell = Cell(math.nan if value is None else value, status, reason, seconds)
        yield row_of(entry, cell, context_of(connection, entry.around, contexts))


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def _newer(connection: sqlite3.Connection, path: Path, found: int, names: set[str]) -> str:
    needs = "a newer tvtfast"
    if "about" in names:
        needs = f"tvtfast {connection.execute('SELECT needs FROM about').fetchone()[0]} or newer"
    return (
        f"score store {path} has schema {found}, and this version of tvtfast knows schemas up to "
        f"{SCHEMA}; it needs {needs}: pip install --upgrade tvtfast, or give another file"
    )


def _copy(path: Path, copy: Path) -> None:
    with (
        replacing(copy) as unfinished,
        closing(sqlite3.connect(path)) as source,
        closing(sqlite3.connect(unfinished)) as target,
    ):
        source.backup(target)
