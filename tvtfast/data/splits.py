"""Which images a network is trained on, which it is chosen by, and which it is tested on."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from tvtfast.common import checks
from tvtfast.data.dataset import VisionDataset
from tvtfast.data.registry import info_of, load_dataset
from tvtfast.data.report import first
from tvtfast.data.sampling import draw_of_classes

SEARCH_SPLIT = 0.2
"""Share of the training images that is held out unless told otherwise."""

_LEAST = 2
_logger = logging.getLogger("tvtfast.data")


@dataclass(frozen=True, eq=False)
class Splits:
    """The images of one training.

    Attributes:
        train: To train on.
        held_out: To choose by: the best epoch, the best candidate. ``None``: nothing is chosen.
        test: To be read once, at the end.
        share: The share that was asked for; 0 for nothing held out.
    """

    train: VisionDataset
    held_out: VisionDataset | None
    test: VisionDataset
    share: float

    def __str__(self) -> str:
        """One line: «1,020 images of train to train on, 1,020 of val to choose by, 6,149 of test
        to test on»."""
        said = f"{len(self.train):,} images of {self.train.split} to train on"
        if self.held_out is not None:
            said += f", {len(self.held_out):,} of {self.held_out.split} to choose by"
        return f"{said}, {len(self.test):,} of {self.test.split} to test on"

    def say(self) -> None:
        """Log the line at level ``INFO``."""
        _logger.info("%s: %s", self.train.name, self)


def hold_out(
    train: VisionDataset, share: float = SEARCH_SPLIT, *, seed: int = 0
) -> tuple[VisionDataset, VisionDataset]:
    """Split training images into those to train on and those to choose by.

    Of every class the share, rounded, is held out, at least two images and never all. Which ones
    depends on the labels and the seed alone, and a smaller share of the same seed lies in a larger
    one. Classes without images are left as they are.

    Args:
        train: Training images.
        share: Share that is held out, between 0 and 1.
        seed: Of the draw.

    Returns:
        The rest and the held-out part, both in the order of ``train``, of the same classes, and
        named in ``split``.

    Raises:
        ValueError: A share out of range, or a class of too few images to leave one to train on.
    """
    share = checks.real("share", share, above=0, below=1)
    seed = checks.seed(seed)
    sizes = np.bincount(train.labels.numpy(), minlength=train.num_classes)
    scarce = [
        f"{train.classes[label]} ({sizes[label]})"
        for label in np.flatnonzero(sizes)
        if sizes[label] <= _LEAST
    ]
    if scarce:
        raise ValueError(
            f"{train!r} has too few images of the classes {first(scarce)}: {_LEAST} of every class "
            f"are held out to choose by, which needs {_LEAST + 1}. Add images, bring a validation "
            "split (val/<class>/ beside train/ and test/), or hold nothing out (--search-split 0, "
            "search_split=0), so that the last epoch is kept"
        )
    wanted = np.clip(np.rint(share * sizes).astype(np.int64), _LEAST, sizes - 1)
    chosen = draw_of_classes(train.labels, np.where(sizes > 0, wanted, 0), seed)
    is_rest = np.ones(len(train), dtype=bool)
    is_rest[chosen] = False
    how = f"{share:g}-seed{seed}"
    rest = [int(row) for row in np.flatnonzero(is_rest)]
    return (
        train.chosen(rest, f"{train.split}-rest{how}"),
        train.chosen(chosen, f"{train.split}-held-out{how}"),
    )


def load_splits(
    name: str | os.PathLike[str],
    path: str | os.PathLike[str] | None = None,
    *,
    search_split: float = SEARCH_SPLIT,
) -> Splits:
    """The images of a training, by name or path.

    A validation split of the data set's own is what a training chooses by: ``val`` of Flowers-102,
    which is then trained on ``train`` alone, and ``val`` of a folder that has ``test``, too. Where
    a folder has ``train`` and ``val`` alone, ``val`` is the test. Then, and in all other data sets,
    a part of the training images is held out by `hold_out`, of seed 0 in every training, so that no
    network is chosen by what its teacher was trained on.

    Args:
        name: As in `load_dataset`.
        path: As in `load_dataset`.
        search_split: Share of the training images that is held out where the data set has no
            validation split; 0 for nothing held out.

    Raises:
        DatasetNotFoundError: As `load_dataset`.
        ValueError: As `load_dataset` and `hold_out`.
    """
    search_split = check_search_split(search_split)
    train = load_dataset(name, path)
    test = load_dataset(name, path, split="eval")
    own = info_of(name).own_splits
    if search_split and own is not None and _has(own[1], train, test):
        train, held_out = (load_dataset(name, path, split=split) for split in own)
        return Splits(train, held_out, test, search_split)
    return split_up(train, test, search_split)


def split_up(train: VisionDataset, test: VisionDataset, search_split: float) -> Splits:
    """The images of a training that are loaded already; a part of ``train`` is held out."""
    search_split = check_search_split(search_split)
    if not search_split:
        return Splits(train, None, test, search_split)
    rest, held_out = hold_out(train, search_split)
    return Splits(rest, held_out, test, search_split)


def check_search_split(share: Any) -> float:
    """A share that is held out, or 0.

    Raises:
        ValueError: Anything else.
    """
    return checks.real("search_split", share, least=0, below=1)


def _has(validation: str, train: VisionDataset, test: VisionDataset) -> bool:
    """Whether a data set has a validation split besides its test."""
    found = train.report is None or validation in train.report.images
    return found and test.split != validation
