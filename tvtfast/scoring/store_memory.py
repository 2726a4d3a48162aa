"""Scores that are kept as long as the process lives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tvtfast.scoring.cells import FINAL, Cell, Entry, ImageScores


class MemoryScores:
    """Scores in memory, for several threads; a copy of them in another process is a copy."""

    def __init__(self) -> None:
        self._cells: dict[str, Cell] = {}
        self._images: dict[tuple[str, bytes], ImageScores] = {}
        self._image_keys: dict[str, list[tuple[str, bytes]]] = {}

    def get(self, keys: Iterable[str]) -> dict[str, Cell]:
        """The scores among ``keys`` that need not be computed again."""
        cells = self._cells
        found = ((key, cells.get(key)) for key in keys)
        return {key: cell for key, cell in found if cell is not None and cell.status in FINAL}

    def put(self, scores: Iterable[tuple[Entry, Cell]]) -> None:
        """Keep scores; one that is there stays unless it may be computed again."""
        cells = self._cells
        for entry, cell in scores:
            if cells.setdefault(entry.key, cell).status not in FINAL:
                cells[entry.key] = cell

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
