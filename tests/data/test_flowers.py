"""Flowers-102 layouts and its four splits."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from tvtfast.data import DatasetNotFoundError, load_dataset, load_splits
from tvtfast.data.readers.flowers import MD5

Save = Callable[[Path, dict[str, Any]], None]
LABELS = [102, 1, 77, 5, 6, 7]
IDS = {"trnid": [2, 4], "valid": [1], "tstid": [3, 5, 6]}


@pytest.fixture
def save(monkeypatch: pytest.MonkeyPatch) -> Save:
    """Write a list and let it pass for the published one."""

    def write(path: Path, content: dict[str, Any]) -> None:
        savemat(path, content)
        monkeypatch.setitem(MD5, path.name, hashlib.md5(path.read_bytes()).hexdigest())

    return write


@pytest.fixture(params=["flowers", "flowers-102"])
def flowers(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    write_image: Callable[[Path, int], None],
    save: Save,
) -> Path:
    folder = tmp_path / str(request.param)
    for number in range(1, 7):
        write_image(folder / "jpg" / f"image_{number:05d}.jpg", 10 * number)
    save(folder / "imagelabels.mat", {"labels": np.array([LABELS], np.uint8)})
    save(folder / "setid.mat", {key: np.array([ids]) for key, ids in IDS.items()})
    return folder


@pytest.mark.parametrize(
    ("split", "read", "labels", "greys"),
    [
        (None, "trainval", [0, 4, 101], [20, 40, 10]),
        ("trainval", "trainval", [0, 4, 101], [20, 40, 10]),
        ("train", "train", [0, 4], [20, 40]),
        ("val", "val", [101], [10]),
        ("test", "test", [76, 5, 6], [30, 50, 60]),
        ("eval", "test", [76, 5, 6], [30, 50, 60]),
    ],
)
def test_splits(
    flowers: Path, split: str | None, read: str, labels: list[int], greys: list[int]
) -> None:
    dataset = load_dataset("Flowers-102", flowers.parent, split=split)
    assert dataset.split == read
    assert dataset.labels.tolist() == labels
    assert [dataset[index][0].getpixel((4, 4))[0] for index in range(len(dataset))] == greys


def test_class_names_and_folder_itself(flowers: Path) -> None:
    dataset = load_dataset("flowers", flowers)
    assert dataset.num_classes == 102
    assert dataset.classes[0] == "pink primrose"
    assert load_dataset(flowers).name == "flowers102"


def test_missing_image(flowers: Path) -> None:
    (flowers / "jpg" / "image_00004.jpg").unlink()
    with pytest.raises(ValueError, match=r"1 of 3 image files are missing.*image_00004\.jpg"):
        load_dataset("flowers102", flowers)


def test_unreadable_image(flowers: Path) -> None:
    (flowers / "jpg" / "image_00002.jpg").write_bytes(b"not an image")
    dataset = load_dataset("flowers102", flowers)
    with pytest.raises(ValueError, match=r"image_00002\.jpg cannot be read as an image"):
        dataset[0]


def test_label_out_of_range(flowers: Path, save: Save) -> None:
    save(flowers / "imagelabels.mat", {"labels": np.array([[103, 1, 2, 0, 4, 5]], np.uint8)})
    with pytest.raises(ValueError, match=r"2 of 3 labels are out of range.*0\.\.101"):
        load_dataset("flowers102", flowers)


@pytest.mark.parametrize("number", [0, 7])
def test_id_without_label(flowers: Path, save: Save, number: int) -> None:
    save(flowers / "setid.mat", {"trnid": [number], "valid": [1], "tstid": [2]})
    with pytest.raises(ValueError, match=rf"names image {number}, but .* images 1\.\.6"):
        load_dataset("flowers102", flowers)


def test_damaged_mat_files(flowers: Path, save: Save) -> None:
    save(flowers / "setid.mat", {"trnid": [1]})
    with pytest.raises(ValueError, match="setid.mat cannot be read as a list.*valid"):
        load_dataset("flowers102", flowers)
    (flowers / "imagelabels.mat").write_bytes(b"MATLAB, or so it says")
    with pytest.raises(ValueError, match="imagelabels.mat cannot be read as a list.*MD5 sum"):
        load_dataset("flowers102", flowers)


def test_missing_set(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFoundError, match=r"jpg, imagelabels.mat, setid.mat"):
        load_dataset("flowers102", tmp_path)


def test_a_training_is_chosen_by_the_validation_split_of_its_own(flowers: Path) -> None:
    splits = load_splits("flowers102", flowers)
    assert splits.held_out is not None
    found = (splits.train.split, splits.held_out.split, splits.test.split)
    assert found == ("train", "val", "test")
    assert splits.held_out.labels.tolist() == [101]
    assert load_splits("flowers102", flowers, search_split=0).train.split == "trainval"
