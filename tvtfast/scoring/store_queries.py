"""What is read of a whole store: which contexts it has, the best of one, and every row."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tvtfast.scoring.cells import CANDIDATE
from tvtfast.scoring.store_error import StoreError
from tvtfast.scoring.store_file import ScoreFile

COLUMNS = ("key", "context", "candidate", "value", "status", "reason", "seconds")
"""Of a row of a store."""


@dataclass(frozen=True)
class Context:
    """All that the scores of a proxy and a weight draw have in common.

    Args:
        number: In the file.
        fields: What they depend on beside the candidate.
        count: How many scores there are.
    """

    number: int
    fields: Mapping[str, Any]
    count: int

    @property
    def proxy(self) -> str:
        """The name of the proxy."""
        return str(self.fields.get("proxy", ""))


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[ScoreFile]:
    """A store that is there.

    Raises:
        StoreError: There is no file, or it is no store that can be read.
    """
    if not Path(path).is_file():
        raise StoreError(f"there is no score store {os.fspath(path)!r}")
    file = ScoreFile(Path(path))
    try:
        yield file
    finally:
        file.close()


def contexts(file: ScoreFile) -> list[Context]:
    """The contexts of a store in the order in which they were met."""
    query = (
        "SELECT id, before, after, (SELECT COUNT(*) FROM cells WHERE context = contexts.id) "
        "FROM contexts ORDER BY id"
    )
    with file.reading() as connection:
        found = connection.execute(query).fetchall()
    return [
        Context(number, _fields(before, after), count) for number, before, after, count in found
    ]


def best(
    file: ScoreFile, context: int, count: int, *, highest: bool = True
) -> list[tuple[str, float]]:
    """The candidates with the best values in one context, the best first: canonical JSON, and the
    value. It reads as many rows as it gives, whatever the size of the store.

    Args:
        file: The store.
        context: Its number.
        count: How many.
        highest: Whether higher is better.
    """
    order = "DESC" if highest else "ASC"
    query = (
        "SELECT candidate, value FROM cells WHERE context = ? AND value IS NOT NULL "
        f"ORDER BY value {order} LIMIT ?"
    )
    with file.reading() as connection:
        return connection.execute(query, (context, count)).fetchall()


def rows(file: ScoreFile, size: int) -> Iterator[list[tuple[Any, ...]]]:
    """All rows in the order in which they came, as `COLUMNS`, in lists of at most ``size``: one
    list is in memory at a time."""
    query = f"SELECT {', '.join(COLUMNS)} FROM cells ORDER BY rowid"
    with file.reading() as connection, closing(connection.execute(query)) as cursor:
        while chunk := cursor.fetchmany(size):
            yield chunk


def _fields(before: str, after: str) -> dict[str, Any]:
    if not after:  # a score without a candidate
        return json.loads(before)
    fields: dict[str, Any] = json.loads(f"{before}null{after}")
    del fields[CANDIDATE]
    return fields
