"""Your own images in one NumPy archive."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from tvtfast.data.dataset import VisionDataset
from tvtfast.data.images import ArrayImages
from tvtfast.data.locate import DatasetNotFoundError


def read_npz(path: Path | None, split: str) -> VisionDataset:
    """Read ``x_<split>`` and ``y_<split>`` of an ``.npz`` file; nothing in it is unpickled.

    Keys: ``x_train``, ``x_test`` uint8 ``[N, H, W, 3]`` or ``[N, H, W]``; ``y_train``, ``y_test``
    integers ``[N]`` from 0; optionally ``classes``, strings ``[num_classes]``. Without ``classes``
    they are ``"0"`` to the largest label of both splits.

    Args:
        path: The file.
        split: ``"train"`` or ``"test"``.

    Returns:
        Its name is the name of the file without ``.npz``.
    """
    if path is None:
        raise ValueError("npz needs path: the .npz file")
    if not path.is_file():
        raise DatasetNotFoundError(
            f"npz: {path} is not a file; give an .npz with x_train, y_train, x_test and y_test"
        )
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("it is not a whole .npz file")
        with np.load(path, allow_pickle=False) as archive:
            missing = sorted({f"x_{split}", f"y_{split}"} - set(archive.files))
            if missing:
                raise ValueError(f"it has no {', '.join(missing)}, only {', '.join(archive.files)}")
            pixels, labels = archive[f"x_{split}"], archive[f"y_{split}"]
            every_label = [archive[key] for key in ("y_train", "y_test") if key in archive.files]
            classes = archive["classes"].tolist() if "classes" in archive.files else None
    # zipfile, zlib and numpy report damaged files by whatever their parsers run into
    except Exception as error:
        raise ValueError(
            f"{path}, split {split!r}, cannot be read: {error}; allowed are the keys x_train, "
            "y_train, x_test, y_test and classes, none of them of dtype object"
        ) from error
    if classes is None:
        largest = max((int(values.max()) for values in every_label if values.size), default=0)
        classes = range(largest + 1)
    return VisionDataset(
        ArrayImages(pixels, f"{path}: x_{split}"),
        labels,
        [str(name) for name in classes],
        name=path.stem,
        split=split,
    )
