"""Tiny generated images and archives for the data tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ImageWriter = Callable[[Path, int], None]


@pytest.fixture
def write_image() -> ImageWriter:
    """Write an 8x8 image of one grey value, creating its folder; the suffix sets the format."""

    def write(path: Path, grey: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((8, 8, 3), grey, np.uint8)
        Image.fromarray(pixels).save(path, format="PNG" if path.suffix == ".png" else "JPEG")

    return write


@pytest.fixture
def npz_file(tmp_path: Path) -> Path:
    """A tiny archive: 12 training images [5, 6] in 3 classes with 6, 4 and 2 images, 3 to test."""
    rng = np.random.RandomState(0)
    path = tmp_path / "tiny.npz"
    np.savez(
        path,
        x_train=rng.randint(0, 256, (12, 5, 6, 3)).astype(np.uint8),
        y_train=np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2]),
        x_test=rng.randint(0, 256, (3, 5, 6, 3)).astype(np.uint8),
        y_test=np.array([2, 1, 0]),
        classes=np.array(["ant", "bee", "cat"]),
    )
    return path
