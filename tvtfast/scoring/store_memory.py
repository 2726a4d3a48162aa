"""Scores that are kept as long as the process lives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tvtfast.scoring.cells import FINAL, Around, Cell, Entry, ImageScores


class MemoryScores:
    """Scores in memory, for several threads; a copy of them in another process is a copy."""

    def __init__(self) -> None:
        self._cells: dict[str, Cell | float] = {}
        self._images: dict[tuple[str, bytes], ImageScores] = {}
        self._image_keys: dict[str, list[tuple[str, bytes]]] = {}

    def get(self, keys: Iterable[str]) -> dict[str, Cell | float]:
        """The scores among ``keys`` that need not be computed again; a number is a cell with status
        ``ok``."""
        cells = self._cells
        if not cells:
            return {}
        found = ((key, cells.get(key)) for key in keys)
        return {key: cell for key, cell in found if cell is not None and _is_final(cell)}

    def put(self, scores: Iterable[tuple[Entry, Cell]]) -> None:
        """Keep scores; one that is there stays unless it may be computed again."""
        for entry, cell in scores:
            self._keep(entry.key, cell)

    def put_values(
        self, around: Around, scores: Iterable[tuple[str, str, float]], seconds: float
    ) -> None:
        """`put` of finite scores: key, candidate and value of each."""
        for key, _, value in scores:
            self._keep(key, value)

    def _keep(self, key: str, cell: Cell | float) -> None:
        if not _is_final(self._cells.setdefault(key, cell)):
            self._cells[key] = cell

    def get_images(self, keys: Iterable[str]) -> Iterator[tuple[str, ImageScores]]:
        """What is known of single images; a key may come several times."""
        for key in keys:
            for place in list(self._image_keys.get(key, ())):
                yield key, self._images[place]

    def put_images(self, scores: Iterable[tuple[str, ImageScores]]) -> None:
        """Keep scores of single images; those that are there stay."""
        for key, (images, values) in scores:
            place = key, images.tobytes()
            if place not in self._images:
                self._images[place] = images, values
                self._image_keys.setdefault(key, []).append(place)

    def __len__(self) -> int:
        return len(self._cells)

    def close(self) -> None:
        """Nothing is to be released."""


def _is_final(cell: Cell | float) -> bool:
    return not isinstance(cell, Cell) or cell.status in FINAL
