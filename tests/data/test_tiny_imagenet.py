"""The Tiny-ImageNet layout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tvtfast.data import load_dataset


@pytest.fixture
def tiny_imagenet(tmp_path: Path, write_image: Callable[[Path, int], None]) -> Path:
    folder = tmp_path / "tiny-imagenet-200"
    for label, wnid in enumerate(("n01", "n02")):
        for index in range(2):
            write_image(folder / "train" / wnid / "images" / f"{wnid}_{index}.JPEG", 100 * label)
        (folder / "train" / wnid / f"{wnid}_boxes.txt").write_text("")
    lines = []
    for index, wnid in enumerate(("n02", "n01")):
        write_image(folder / "val" / "images" / f"val_{index}.JPEG", 7)
        lines.append(f"val_{index}.JPEG\t{wnid}\t0\t32\t44\t62\n")
    (folder / "val" / "val_annotations.txt").write_text("".join(lines))
    return folder


@pytest.mark.parametrize("spelling", ["tiny-imagenet", "Tiny_ImageNet", "tiny-imagenet-200"])
def test_layout(tiny_imagenet: Path, spelling: str) -> None:
    train = load_dataset(spelling, tiny_imagenet.parent)
    val = load_dataset(spelling, tiny_imagenet, split="eval")
    assert train.classes == val.classes == ("n01", "n02")
    assert train.labels.tolist() == [0, 0, 1, 1]
    assert train[3][0].getpixel((0, 0)) == (100, 100, 100)
    assert (val.split, val.labels.tolist()) == ("val", [1, 0])
    assert load_dataset(tiny_imagenet).name == "tiny-imagenet"


def test_test_split_has_no_labels(tiny_imagenet: Path) -> None:
    with pytest.raises(ValueError, match="no split 'test'; allowed: train, val"):
        load_dataset("tiny-imagenet", tiny_imagenet, split="test")


def test_class_without_images(tiny_imagenet: Path) -> None:
    for file in (tiny_imagenet / "train" / "n02" / "images").iterdir():
        file.unlink()
    with pytest.raises(ValueError, match=r"n02/images holds no \.JPEG file"):
        load_dataset("tiny-imagenet", tiny_imagenet)


@pytest.mark.parametrize("line", ["val_0.JPEG\tn99\t0\t0\t1\t1", "val_0.JPEG", ""])
def test_damaged_annotations(tiny_imagenet: Path, line: str) -> None:
    (tiny_imagenet / "val" / "val_annotations.txt").write_text(f"{line}\n")
    with pytest.raises(ValueError, match="line 1"):
        load_dataset("tiny-imagenet", tiny_imagenet, split="val")
