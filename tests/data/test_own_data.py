"""Data of your own: image folders and .npz archives, by name and by path."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tvtfast.data import load_dataset

ImageWriter = Callable[[Path, int], None]


@pytest.fixture
def flowerbed(tmp_path: Path, write_image: ImageWriter) -> Path:
    folder = tmp_path / "flowerbed"
    for split, classes in (("train", ("daisy", "rose", "tulip")), ("val", ("rose", "tulip"))):
        for grey, name in enumerate(classes):
            write_image(folder / split / name / "b.png", 10 * grey)
            write_image(folder / split / name / "nested" / "a.jpg", 10 * grey)
            (folder / split / name / "notes.txt").write_text("not an image")
    return folder


def test_imagefolder_by_name_and_by_path(flowerbed: Path) -> None:
    for dataset in (load_dataset("imagefolder", flowerbed), load_dataset(flowerbed)):
        assert (dataset.name, dataset.split) == ("flowerbed", "train")
        assert dataset.classes == ("daisy", "rose", "tulip")
        assert dataset.labels.tolist() == [0, 0, 1, 1, 2, 2]


def test_labels_of_every_split_are_those_of_train(flowerbed: Path) -> None:
    val = load_dataset(flowerbed, split="val")
    assert val.classes == ("daisy", "rose", "tulip")
    assert val.labels.tolist() == [1, 1, 2, 2]


def test_test_means_val_where_there_is_no_test(flowerbed: Path, write_image: ImageWriter) -> None:
    assert load_dataset(flowerbed, split="eval").split == "val"
    write_image(flowerbed / "test" / "daisy" / "a.png", 1)
    assert load_dataset(flowerbed, split="eval").split == "test"
    assert load_dataset(flowerbed, split="val").split == "val"


def test_single_folder_of_classes_is_all_training(flowerbed: Path) -> None:
    dataset = load_dataset(flowerbed / "train")
    assert (dataset.name, dataset.split, dataset.num_classes) == ("train", "train", 3)
    with pytest.raises(ValueError, match="has no split 'test'; it has train; put about a fifth"):
        load_dataset(flowerbed / "train", split="test")


def test_npz_by_name_and_by_path(npz_file: Path) -> None:
    for dataset in (load_dataset("npz", npz_file), load_dataset(npz_file)):
        assert (dataset.name, dataset.split, len(dataset)) == ("tiny", "train", 12)
        assert dataset.classes == ("ant", "bee", "cat")
        assert dataset[0][0].size == (6, 5)
    assert load_dataset(str(npz_file), split="test").labels.tolist() == [2, 1, 0]


def test_npz_grey_without_classes(tmp_path: Path) -> None:
    path = tmp_path / "grey.npz"
    grey = np.arange(2 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4)
    np.savez(path, x_train=grey, y_train=[0, 1], x_test=grey, y_test=[0, 3])
    train = load_dataset(path)
    assert train.classes == ("0", "1", "2", "3")
    image, _ = train[1]
    assert image.mode == "RGB"
    assert np.array_equal(np.asarray(image), np.repeat(grey[1][:, :, None], 3, axis=2))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_train": np.zeros((2, 4, 4, 3), np.float32)}, "x_train is float32.*uint8"),
        ({"x_train": np.zeros((2, 3, 4, 4), np.uint8)}, r"\[2, 3, 4, 4\]; allowed is uint8"),
        ({"x_train": np.zeros((0, 4, 4, 3), np.uint8), "y_train": []}, "at least one image"),
        ({"y_train": [0, 1, 2]}, r"integers of shape \[2\]"),
        ({"y_train": [0.0, 1.0]}, "labels are torch.float64"),
        ({"y_train": [True, False]}, "labels are torch.bool"),
        ({"y_train": [0, 2]}, r"1 of 2 labels are out of range, the first at index 1 is 2"),
        ({"y_train": [-1, 0]}, r"at index 0 is -1"),
        ({"y_train": np.array([0, None])}, "cannot be read: Object arrays"),
        ({"y_train": None}, "has no y_train, only x_train, classes"),
    ],
)
def test_npz_refusals(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    content: dict[str, Any] = {
        "x_train": np.zeros((2, 4, 4, 3), np.uint8),
        "y_train": [0, 1],
        "classes": ["a", "b"],
        **changes,
    }
    path = tmp_path / "bad.npz"
    np.savez(path, **{key: value for key, value in content.items() if value is not None})
    with pytest.raises(ValueError, match=message):
        load_dataset(path)


def test_truncated_npz(npz_file: Path) -> None:
    whole = npz_file.read_bytes()
    for length in (0, 10, len(whole) // 2):
        npz_file.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"tiny\.npz, split 'train', cannot be read"):
            load_dataset(npz_file)


def test_npz_damaged_inside(npz_file: Path) -> None:
    np.savez_compressed(npz_file, x_train=np.zeros((2, 64, 64, 3), np.uint8), y_train=[0, 1])
    whole = npz_file.read_bytes()
    for position in range(0, len(whole), 10):
        npz_file.write_bytes(whole[:position] + b"\xff\xff\xff" + whole[position + 3 :])
        # zip files have bytes that nothing reads: whatever loads must be undamaged
        try:
            dataset = load_dataset(npz_file)
        except ValueError as error:
            assert "cannot be read" in str(error)
        else:
            assert dataset.labels.tolist() == [0, 1]
            assert not any(np.asarray(image).any() for image, _ in dataset)


def test_npy_under_the_wrong_name(tmp_path: Path) -> None:
    with open(tmp_path / "array.npz", "wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(ValueError, match="not a whole .npz file"):
        load_dataset(tmp_path / "array.npz")


def test_real_subsets(shared_data: Path) -> None:
    for name, classes, train, test in (
        ("cifar100_subset", 100, 2000, 2000),
        ("cifar10_subset", 10, 1000, 2000),
    ):
        path = shared_data / f"{name}.npz"
        if not path.exists():
            pytest.skip(f"{path} is not there")
        dataset = load_dataset(path)
        assert (dataset.name, dataset.num_classes, len(dataset)) == (name, classes, train)
        assert len(load_dataset(path, split="test")) == test
