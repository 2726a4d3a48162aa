"""Where scores are kept: what was scored is never lost and never scored twice."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from tvtfast.scoring.cells import Around, Cell, Entry, ImageScores
from tvtfast.scoring.store_error import StoreError
from tvtfast.scoring.store_file import ScoreFile
from tvtfast.scoring.store_memory import MemoryScores

__all__ = ["STORE", "ScoreStore", "StoreError"]

STORE = "scores.sqlite"


class ScoreStore:
    """Scores, keyed by everything that determines them; an SQLite file, or in memory.

    Every score is committed to the file as it arrives: a process that is killed loses at most the
    one it was computing. Several threads and several processes of one machine may use one store;
    on a file system that machines share, one machine at a time does. Scores that failed for want
    of memory or by an exception are kept for the record and computed again when asked for. A file
    of an earlier version is upgraded when it is opened, after a copy was made beside it.

    A store can be pickled and copied: the copy of one with a file uses the same file, the copy of
    one in memory begins with the same scores.

    Args:
        path: The file, made when missing; ``None`` keeps scores in memory.

    Raises:
        StoreError: Not a score store, one of a newer version, unreadable, on a full disk, or in use
            by another machine.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = None if path is None else Path(path)
        self._kept = MemoryScores() if self.path is None else ScoreFile(self.path)

    def get(self, keys: Iterable[str]) -> dict[str, Cell]:
        """The stored scores among ``keys`` that need not be computed again."""
        return {
            key: cell if isinstance(cell, Cell) else Cell(cell)
            for key, cell in self.known(keys).items()
        }

    def known(self, keys: Iterable[str]) -> dict[str, Cell | float]:
        """`get`, where a number is a cell with status ``ok``."""
        return self._kept.get(keys)

    def get_images(self, keys: Iterable[str]) -> Iterator[tuple[str, ImageScores]]:
        """What is stored of single images; a key may come several times."""
        return self._kept.get_images(keys)

    def put_images(self, scores: Iterable[tuple[str, ImageScores]]) -> None:
        """Keep scores of single images, all or none; those of a score that is not complete yet are
        lost no more than others."""
        self._kept.put_images(
            (key, (np.array(images, np.int32), np.array(values, np.float64)))
            for key, (images, values) in scores
        )

    def put(self, scores: Iterable[tuple[Mapping[str, Any] | Entry, Cell]]) -> None:
        """Keep scores, all or none; one that is already there stays unless it may be computed
        again.

        Args:
            scores: What determines each score, or its entry; and the score.
        """
        self._kept.put(
            (given if isinstance(given, Entry) else Entry.of(given), cell) for given, cell in scores
        )

    def put_values(
        self, around: Around, scores: Iterable[tuple[str, str, float]], seconds: float
    ) -> None:
        """`put` of finite scores that depend on the same beside the candidate.

        Args:
            around: The text around the candidates in what the scores are stored under.
            scores: The key of each score, the candidate as canonical JSON, and the score.
            seconds: What each took.
        """
        self._kept.put_values(around, scores, seconds)

    def __len__(self) -> int:
        return len(self._kept)

    def close(self) -> None:
        """Release the file."""
        self._kept.close()

    def __getstate__(self) -> dict[str, Any]:
        if self.path is None:
            return {"path": None, "_kept": self._kept}
        return {"path": self.path.absolute()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.path = state["path"]
        self._kept = state["_kept"] if self.path is None else ScoreFile(self.path)

    def __enter__(self) -> ScoreStore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
