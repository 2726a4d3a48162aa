"""Several score stores as one."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tvtfast.scoring.cells import FINAL
from tvtfast.scoring.store_error import StoreError
from tvtfast.scoring.store_file import ScoreFile
from tvtfast.scoring.store_queries import opened

KEEP = ("first", "last")
"""Which of two scores of one key is kept."""
NAMED = 1000
"""Conflicts that a merge names; the others are counted."""
_SHOWN = 5

_CONFLICTS = f"""
    SELECT before || given.candidate || after, kept.value, kept.status, given.value, given.status
    FROM other.cells AS given JOIN cells AS kept ON kept.key = given.key
    JOIN other.contexts AS context ON context.id = given.context
    WHERE kept.status IN {FINAL} AND given.status IN {FINAL}
    AND (kept.value IS NOT given.value OR kept.status IS NOT given.status)
"""
_IMAGE_CONFLICTS = """
    SELECT given.key FROM other.image_scores AS given JOIN image_scores AS kept
    ON kept.key = given.key AND kept.images = given.images WHERE kept.scores IS NOT given.scores
"""
_CELLS = """
    INSERT INTO cells
    SELECT key, contexts.id, candidate, value, status, reason, seconds
    FROM other.cells JOIN other.contexts AS given ON given.id = context
    JOIN contexts ON contexts.before = given.before AND contexts.after = given.after
    WHERE true ORDER BY key
    ON CONFLICT (key) DO UPDATE SET value = excluded.value, status = excluded.status,
    reason = excluded.reason, seconds = excluded.seconds
"""
_UNLESS_FINAL = f"WHERE status NOT IN {FINAL}"
_IF_FINAL = f"WHERE status NOT IN {FINAL} OR excluded.status IN {FINAL}"


@dataclass(frozen=True)
class Conflict:
    """Two values of what should be one score.

    Args:
        text: What it is stored under, as canonical JSON; of scores of single images the key.
        kept: Value, or status, of the stores before.
        given: That of this store.
        store: The store.
    """

    text: str
    kept: str
    given: str
    store: Path

    def __str__(self) -> str:
        return f"{self.kept} before, {self.given} in {self.store}: {self.text}"


@dataclass(frozen=True)
class Merged:
    """What came of a merge.

    Args:
        scores: In the new store, by what was read.
        conflicts: How many scores were decided by the order of the stores.
        named: The first of them.
    """

    scores: int
    conflicts: int
    named: tuple[Conflict, ...]


def merge(
    sources: Sequence[str | os.PathLike[str]],
    target: str | os.PathLike[str],
    *,
    keep: str | None = None,
) -> Merged:
    """Put the scores of several stores into a new one.

    A score that one store has and another failed to compute is taken. Of equal scores the first
    stays, with the seconds that it took.

    Args:
        sources: The stores; they stay as they are, older ones are upgraded.
        target: The file of the new store.
        keep: Which of two values of one score is kept, ``first`` or ``last`` in the order of the
            stores; ``None`` refuses to merge.

    Raises:
        StoreError: A store cannot be read, ``target`` exists, or stores have different values of
            the same score; the message names them, and nothing is written.
    """
    if len(sources) < 2:
        raise ValueError(f"merging takes two stores or more, got {len(sources)}")
    if Path(target).exists():
        raise StoreError(
            f"{os.fspath(target)} exists; a merge writes a new store, name another file"
        )
    for source in sources:
        with opened(source):  # upgraded, where it is of an earlier version
            pass
    path = Path(target)
    unfinished = path.with_name(f".{path.name}.merging")
    _remove(unfinished)
    try:
        merged = _merge([Path(source) for source in sources], unfinished, keep)
        os.replace(unfinished, path)
    finally:
        _remove(unfinished)
    return merged


def _merge(sources: Sequence[Path], target: Path, keep: str | None) -> Merged:
    count, named = 0, list[Conflict]()
    file = ScoreFile(target)
    try:
        with file.reading() as connection:
            connection.execute("PRAGMA synchronous = OFF")  # it is new, and made again if need be
            for source in sources:
                connection.execute("ATTACH ? AS other", (str(source),))
                for conflict in _conflicts(connection, source):
                    count += 1
                    if count <= NAMED:
                        named.append(conflict)
                if not count or keep is not None:
                    _take(connection, keep)
                connection.execute("DETACH other")
            if count and keep is None:
                raise StoreError(_refusal(count, named))
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return Merged(len(file), count, tuple(named))
    finally:
        file.close()


def _take(connection: sqlite3.Connection, keep: str | None) -> None:
    last = keep == "last"
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(
        "INSERT OR IGNORE INTO contexts (before, after) SELECT before, after FROM other.contexts "
        "ORDER BY id"
    )
    connection.execute(f"{_CELLS} {_IF_FINAL if last else _UNLESS_FINAL}")
    images = "REPLACE" if last else "IGNORE"
    connection.execute(f"INSERT OR {images} INTO image_scores SELECT * FROM other.image_scores")
    connection.execute("COMMIT")


def _conflicts(connection: sqlite3.Connection, source: Path) -> Iterator[Conflict]:
    for text, *found in connection.execute(_CONFLICTS):
        yield Conflict(text, _shown(*found[:2]), _shown(*found[2:]), source)
    for (key,) in connection.execute(_IMAGE_CONFLICTS):
        yield Conflict(key, "scores of images", "others", source)


def _shown(value: Any, status: str) -> str:
    return status if value is None else repr(value)


def _refusal(count: int, named: Sequence[Conflict]) -> str:
    shown = "; ".join(map(str, named[:_SHOWN]))
    more = f"; and {count - _SHOWN:,} more" if count > _SHOWN else ""
    return (
        f"the stores have {count:,} scores with different values ({shown}{more}); nothing "
        f"was written. Choose which are kept: --keep {' or --keep '.join(KEEP)}"
    )


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
