"""The identity of a data set: all that a training or a score can depend on."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tvtfast.data import Normalization, VisionDataset, load_dataset
from tvtfast.data.images import ArrayImages

PIXELS = np.arange(3 * 4 * 4 * 3, dtype=np.uint8).reshape(3, 4, 4, 3)


def _dataset(pixels: Any = PIXELS, **changes: Any) -> VisionDataset:
    given = {"labels": [0, 1, 1], "classes": ["ant", "bee"], "name": "mine", "split": "train"}
    return VisionDataset(ArrayImages(pixels, "mine"), **{**given, **changes})


def _with_one_pixel_changed() -> Any:
    changed = PIXELS.copy()
    changed[2, 3, 3, 2] ^= 1
    return changed


@pytest.mark.parametrize(
    "other",
    [
        _dataset(_with_one_pixel_changed()),
        _dataset(PIXELS[::-1]),
        _dataset(PIXELS.reshape(3, 8, 2, 3)),
        _dataset(labels=[0, 1, 0]),
        _dataset(classes=["ant", "wasp"]),
        _dataset(classes=["ant", "bee", "cat"]),
        _dataset(normalization=Normalization((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))),
    ],
)
def test_another_content_is_another_fingerprint(other: VisionDataset) -> None:
    assert other.fingerprint != _dataset().fingerprint


def test_names_and_memory_layout_play_no_part() -> None:
    same = _dataset(np.asfortranarray(PIXELS), name="yours", split="test", img_size=32)
    assert same.fingerprint == _dataset().fingerprint
    assert len(same.fingerprint) == 64


def test_files_are_known_by_their_bytes(
    tmp_path: Path, write_image: Callable[[Path, int], None]
) -> None:
    for grey, name in enumerate(("ant/0.png", "ant/1.png", "bee/0.png")):
        write_image(tmp_path / "here" / "train" / name, grey)
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    here, there = load_dataset(tmp_path / "here"), load_dataset(tmp_path / "there")
    assert here.fingerprint == there.fingerprint
    write_image(tmp_path / "there" / "train" / "bee" / "0.png", 3)
    assert there.fingerprint == here.fingerprint  # what was taken once stays
    assert load_dataset(tmp_path / "there").fingerprint != here.fingerprint


def test_any_sequence_of_images_has_one() -> None:
    images = [Image.fromarray(pixels) for pixels in PIXELS]
    changed = [Image.fromarray(pixels) for pixels in _with_one_pixel_changed()]
    labels, classes = [0, 1, 1], ["ant", "bee"]
    first, same, other = (
        VisionDataset(part, labels, classes, name="mine", split="train").fingerprint
        for part in (images, list(images), changed)
    )
    assert first == same != other
