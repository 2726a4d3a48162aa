"""Which data sets there are, and loading one by name or by path."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from tvtfast.common.names import unknown
from tvtfast.data.dataset import VisionDataset
from tvtfast.data.locate import DatasetNotFoundError, Layout
from tvtfast.data.readers.chaoyang import CHAOYANG_LAYOUT, read_chaoyang
from tvtfast.data.readers.cifar import (
    CIFAR10_LAYOUT,
    CIFAR100_LAYOUT,
    read_cifar10,
    read_cifar100,
)
from tvtfast.data.readers.digits import read_digits
from tvtfast.data.readers.flowers import FLOWERS_LAYOUT, read_flowers102
from tvtfast.data.readers.imagefolder import read_imagefolder
from tvtfast.data.readers.imagenet import read_imagenet
from tvtfast.data.readers.npz import read_npz
from tvtfast.data.readers.tiny_imagenet import TINY_IMAGENET_LAYOUT, read_tiny_imagenet


@dataclass(frozen=True)
class DatasetInfo:
    """What ``load_dataset`` knows of one data set or format.

    Attributes:
        name: Its name here.
        read: ``(path, split) -> VisionDataset``.
        splits: Splits it can have.
        train_split: The split the published recipe trains on.
        eval_split: The split accuracies are reported on.
        own_splits: Splits to train on and to choose by, where it brings both; a folder may lack
            the second.
        layout: What tells its folder from others; ``None`` where nothing does.
        spellings: Other names it goes by.
    """

    name: str
    read: Callable[[Path | None, str], VisionDataset] = field(repr=False)
    splits: tuple[str, ...] = ("train", "test")
    train_split: str = "train"
    eval_split: str = "test"
    own_splits: tuple[str, str] | None = None
    layout: Layout | None = None
    spellings: tuple[str, ...] = ()


_INFOS = (
    DatasetInfo("digits", read_digits),
    DatasetInfo("cifar10", read_cifar10, layout=CIFAR10_LAYOUT),
    DatasetInfo("cifar100", read_cifar100, layout=CIFAR100_LAYOUT, spellings=("c100",)),
    DatasetInfo(
        "flowers102",
        read_flowers102,
        splits=("train", "val", "trainval", "test"),
        train_split="trainval",
        own_splits=("train", "val"),
        layout=FLOWERS_LAYOUT,
        spellings=("flowers", "flower", "oxford-flowers-102"),
    ),
    DatasetInfo("chaoyang", read_chaoyang, layout=CHAOYANG_LAYOUT),
    DatasetInfo(
        "tiny-imagenet",
        read_tiny_imagenet,
        splits=("train", "val"),
        eval_split="val",
        layout=TINY_IMAGENET_LAYOUT,
        spellings=("tiny-imagenet-200",),
    ),
    DatasetInfo(
        "imagenet",
        read_imagenet,
        splits=("train", "val"),
        eval_split="val",
        spellings=("imagenet1k", "ilsvrc2012"),
    ),
    DatasetInfo(
        "imagefolder",
        read_imagefolder,
        splits=("train", "val", "test"),
        own_splits=("train", "val"),
    ),
    DatasetInfo("npz", read_npz),
)

DATASETS: Mapping[str, DatasetInfo] = MappingProxyType({info.name: info for info in _INFOS})
"""Every data set and format by name."""


def _plain(name: str) -> str:
    """A name without case, hyphens, underscores and spaces."""
    return re.sub(r"[-_\s]", "", name).lower()


_BY_SPELLING = {_plain(name): info for info in _INFOS for name in (info.name, *info.spellings)}


def available() -> tuple[str, ...]:
    """Names ``load_dataset`` knows."""
    return tuple(DATASETS)


def load_dataset(
    name: str | os.PathLike[str],
    path: str | os.PathLike[str] | None = None,
    *,
    split: str | None = None,
) -> VisionDataset:
    """Load a data set by name, or your own data by path. Nothing is ever downloaded.

    Args:
        name: One of ``available()`` in any usual spelling (``"CIFAR-100"``, ``"tiny_imagenet"``),
            or the path of an ``.npz`` file, of a published data set's folder, or of a folder of
            images by class. A known name wins over a path of the same name.
        path: Where the named data set is: its folder or the one around it. Default: ``./data``.
        split: One of the data set's splits; ``None`` for the one the published recipe trains on
            (``"train"``, for Flowers-102 ``"trainval"``); ``"eval"`` for the one accuracies are
            reported on (``"test"``, for Tiny-ImageNet ``"val"``).

    Raises:
        DatasetNotFoundError: Where it is not on disk: what was looked for, where, how to get it.
        ValueError: For an unknown name or split, or where the files are damaged: a wrong shape or
            dtype, a label out of range, a missing image, an empty folder.
    """
    known = _BY_SPELLING.get(_plain(os.fspath(name)))
    if known is None:
        if path is not None:
            raise ValueError(f"{_unknown(name)}; path={os.fspath(path)!r} needs one of these names")
        known, path = _kind_of(name), name
    return known.read(None if path is None else Path(path).expanduser(), _split(known, split))


def info_of(name: str | os.PathLike[str]) -> DatasetInfo:
    """What is known of a data set by name, or of what lies at a path.

    Raises:
        DatasetNotFoundError: As `load_dataset`.
        ValueError: As `load_dataset`.
    """
    known = _BY_SPELLING.get(_plain(os.fspath(name)))
    return _kind_of(name) if known is None else known


def address(
    name: str | os.PathLike[str], path: str | os.PathLike[str] | None = None
) -> tuple[str, str | None]:
    """Name and path with which `load_dataset` finds the same data from any working folder.

    Paths become absolute. A named data set without a path stays one, in ``./data`` of whoever loads
    it.
    """
    if _plain(os.fspath(name)) not in _BY_SPELLING:
        name = Path(name).expanduser().resolve()
    return os.fspath(name), None if path is None else str(Path(path).expanduser().resolve())


def _split(info: DatasetInfo, split: str | None) -> str:
    if split is None:
        return info.train_split
    if split == "eval":
        return info.eval_split
    if split not in info.splits:
        raise ValueError(
            f"{info.name} has no split {split!r}; allowed: {', '.join(info.splits)}, and 'eval' "
            f"for {info.eval_split}"
        )
    return split


def _kind_of(name: str | os.PathLike[str]) -> DatasetInfo:
    """What the file or folder ``name`` holds."""
    path = Path(name).expanduser()
    if not path.exists():
        if path.suffix.lower() == ".npz" or os.sep in os.fspath(name):
            raise DatasetNotFoundError(f"{path} does not exist; give an .npz file or a folder")
        raise ValueError(_unknown(name))
    if path.is_file():
        if path.suffix.lower() != ".npz":
            raise ValueError(f"{path} is neither an .npz file nor a folder")
        return DATASETS["npz"]
    found = [info for info in _INFOS if info.layout is not None and info.layout.find(path)]
    if len(found) > 1:
        names = ", ".join(info.name for info in found)
        raise ValueError(f"{path} holds {names}; name one: load_dataset({found[0].name!r}, path)")
    return found[0] if found else DATASETS["imagefolder"]


def _unknown(name: str | os.PathLike[str]) -> str:
    also = "the path of an .npz file or of a folder of images by class"
    return unknown("data set", os.fspath(name), DATASETS, also=also)
