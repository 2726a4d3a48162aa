"""What was found in data that somebody brought, and what was left out."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger("tvtfast.data")

_PURPOSES = {"val": "validation", "test": "testing"}


@dataclass(frozen=True)
class DataReport:
    """What a reader made of a folder or a file.

    Attributes:
        path: The folder or file.
        images: Number of images by split, ``train`` first.
        num_classes: Number of classes.
        left_out: How many entries of which kind were not read, such as ``{".heic": 4}``.
        remarks: Why the outcome looks unlikely, and what to do where it is wrong.
    """

    path: Path
    images: Mapping[str, int]
    num_classes: int
    left_out: Mapping[str, int]
    remarks: tuple[str, ...] = ()

    def __str__(self) -> str:
        """One line: «12 training images of 3 classes, 6 for testing; left out: 4 .heic»."""
        train = self.images.get("train", 0)
        said = (
            f"{train:,} training {_number(train, 'image')} of {self.num_classes:,} "
            f"{_number(self.num_classes, 'class')}"
        )
        for split, purpose in _PURPOSES.items():
            if split in self.images:
                said += f", {self.images[split]:,} for {purpose}"
        left = listed(self.left_out)
        return f"{said}; left out: {left}" if left else said

    def say(self) -> None:
        """Log the line at level ``INFO`` and remarks at level ``WARNING``."""
        logger.info("%s: %s", self.path, self)
        for remark in self.remarks:
            logger.warning("%s: %s", self.path, remark)


def listed(left_out: Mapping[str, int]) -> str:
    """Such as «4 .heic, 1 hidden folder»; empty where nothing was left out."""
    return ", ".join(f"{count:,} {_number(count, kind)}" for kind, count in left_out.items())


def first(names: Iterable[str], most: int = 10) -> str:
    """The first of many names, and how many there are beyond."""
    known = list(names)
    more = f" and {len(known) - most} more" if len(known) > most else ""
    return f"{', '.join(known[:most])}{more}"


_PLURALS = {
    "class": "classes",
    "class folder without images": "class folders without images",
    "file without a suffix": "files without a suffix",
    "folder beside the splits": "folders beside the splits",
    "image without a class folder": "images without a class folder",
    "link that leads nowhere": "links that lead nowhere",
    "link to a folder around it": "links to a folder around them",
}


def _number(count: int, kind: str) -> str:
    """A kind in singular or plural; endings of files have none."""
    if count == 1 or kind.startswith("."):
        return kind
    return _PLURALS.get(kind, f"{kind}s")
