"""Your own images in one NumPy archive."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tvtfast.common.foreign import reading
from tvtfast.data.archive import Archive, opened
from tvtfast.data.dataset import VisionDataset
from tvtfast.data.images import ArrayImages
from tvtfast.data.labels import MAX_CLASSES, check_labels
from tvtfast.data.locate import DatasetNotFoundError
from tvtfast.data.report import DataReport, first

_LABELS: tuple[str, ...] = ("y_train", "y_test")
_KEYS = ("x_train", "x_test", *_LABELS, "classes")
_ADVICE = f"allowed are the keys {', '.join(_KEYS)}, none of them of dtype object"


def read_npz(path: Path | None, split: str) -> VisionDataset:
    """Read ``x_<split>`` and ``y_<split>`` of an ``.npz`` file; nothing in it is unpickled.

    Keys: ``x_train``, ``x_test`` uint8 ``[N, H, W, 3]`` or ``[N, H, W]``; ``y_train``, ``y_test``
    integers ``[N]`` from 0; optionally ``classes``, strings ``[num_classes]``. Without ``classes``
    they are ``"0"`` to the largest label of both splits, at most 100,000. What was found is
    logged, see `tvtfast.data.DataReport`; classes without images are warned about.

    An array takes at most 64 MiB, or 200 times the size of the file, or what memory is free.

    Args:
        path: The file.
        split: ``"train"`` or ``"test"``.

    Returns:
        Its name is the name of the file without ``.npz``.

    Raises:
        DatasetNotFoundError: There is no such file.
        BadFileError: It is damaged, its arrays are not what their headers say, or a key is missing.
        ValueError: An array has another shape or dtype, or a label is out of range.
    """
    if path is None:
        raise ValueError("npz needs path: the .npz file")
    if not path.is_file():
        raise DatasetNotFoundError(
            f"npz: {path} is not a file; give an .npz with x_train, y_train, x_test and y_test"
        )
    with reading(path, "an .npz file", advice=_ADVICE), opened(path) as archive:
        missing = sorted({f"x_{split}", f"y_{split}"} - set(archive.names))
        if missing:
            raise ValueError(f"it has no {', '.join(missing)}, only {', '.join(archive.names)}")
        pixels = archive.read(f"x_{split}")
        present = [key for key in _LABELS if key in archive.names]
        labels = {key: _labels(archive, key) for key in present}
        named = _classes(archive)
        classes = _numbered(labels) if named is None else named
        strangers = [name for name in archive.names if name not in _KEYS]
    images = ArrayImages(pixels, f"{path}: x_{split}")
    given = torch.from_numpy(labels[f"y_{split}"])
    dataset = VisionDataset(
        images,
        check_labels(given, len(images), len(classes), f"{path}: y_{split}"),
        classes,
        name=path.stem,
        split=split,
    )
    dataset.report = DataReport(
        path,
        {key.removeprefix("y_"): len(values) for key, values in labels.items()},
        len(classes),
        {"unknown array": len(strangers)} if strangers else {},
        tuple(_doubts(labels, classes, strangers, is_named=named is not None)),
    )
    dataset.report.say()
    return dataset


def _labels(archive: Archive, key: str) -> npt.NDArray[np.int64]:
    values = archive.read(key)
    if values.size and values.dtype.kind not in "iu":
        raise ValueError(f"{key} is {values.dtype}; allowed are integers from 0")
    return values.astype(np.int64)


def _classes(archive: Archive) -> list[str] | None:
    if "classes" not in archive.names:
        return None
    shape = archive.header("classes").shape
    if len(shape) != 1 or shape[0] > MAX_CLASSES:
        raise ValueError(
            f"classes is of shape {list(shape)}; allowed is [num_classes], at most {MAX_CLASSES:,}"
        )
    names: list[Any] = archive.read("classes").tolist()
    classes = [name.decode() if isinstance(name, bytes) else str(name) for name in names]
    "".join(classes).encode()  # which fails for what is no text
    return classes


def _numbered(labels: Mapping[str, npt.NDArray[np.int64]]) -> list[str]:
    largest = max((int(values.max()) for values in labels.values() if values.size), default=0)
    if largest >= MAX_CLASSES:
        raise ValueError(
            f"the largest label is {largest:,}; allowed are labels below {MAX_CLASSES:,}, each of "
            "which is a class"
        )
    return [str(label) for label in range(largest + 1)]


def _doubts(
    labels: Mapping[str, npt.NDArray[np.int64]],
    classes: Sequence[str],
    strangers: Sequence[str],
    *,
    is_named: bool,
) -> Iterator[str]:
    """Why the classes are perhaps not those that were meant."""
    seen = set(np.unique(labels["y_train"])) if "y_train" in labels else set(range(len(classes)))
    empty = [name for label, name in enumerate(classes) if label not in seen]
    lowest = min((int(values.min()) for values in labels.values() if values.size), default=0)
    if not is_named and lowest > 0:
        yield (
            "no label is 0, so class '0' has no image; labels count from 0: subtract 1 from "
            "y_train and y_test if yours count from 1"
        )
    elif empty:
        yield f"classes without training images: {first(empty)}"
    if len(classes) == 1:
        yield f"{classes[0]!r} is the only class"
    if strangers:
        yield f"{first(strangers)} are not read; known are {', '.join(_KEYS)}"
