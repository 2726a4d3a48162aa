"""Handwritten digits that ship with scikit-learn: real data where there is no other."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tvtfast.data.dataset import VisionDataset
from tvtfast.data.images import ArrayImages


def read_digits(path: Path | None, split: str) -> VisionDataset:
    """Read ``sklearn.datasets.load_digits``: 1,797 grey images of 8x8 pixels in 10 classes.

    The split is fixed: of each class, in the order of the set, every fifth image is in ``test``
    (355 images) and the others are in ``train`` (1,442). Grey values 0..16 become 0..255.

    Args:
        path: Must be ``None``; the data come with scikit-learn.
        split: ``"train"`` or ``"test"``.
    """
    if path is not None:
        raise ValueError(f"digits comes with scikit-learn and takes no path; {str(path)!r} given")
    from sklearn.datasets import load_digits

    bunch = load_digits()
    labels = bunch.target
    position_in_class = np.empty_like(labels)
    for label in range(10):
        members = labels == label
        position_in_class[members] = np.arange(members.sum())
    is_test = position_in_class % 5 == 4
    chosen = is_test if split == "test" else ~is_test
    pixels = np.rint(bunch.images[chosen] * (255 / 16)).astype(np.uint8)
    return VisionDataset(
        ArrayImages(pixels, "digits"),
        labels[chosen],
        [str(name) for name in bunch.target_names],
        name="digits",
        split=split,
        img_size=32,
    )
