"""Data of your own: image folders and .npz archives, by name and by path."""

from __future__ import annotations

import io
import logging
import zipfile
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


def test_the_suffix_may_be_in_capitals(npz_file: Path) -> None:
    assert len(load_dataset(npz_file.rename(npz_file.with_name("TINY.NPZ")))) == 12


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
        ({"y_train": [0.0, 1.0]}, "y_train is float64; allowed are integers from 0"),
        ({"y_train": [True, False]}, "y_train is bool; allowed are integers from 0"),
        ({"y_train": [0, 2]}, r"1 of 2 labels are out of range, the first at index 1 is 2"),
        ({"y_train": [-1, 0]}, r"at index 0 is -1"),
        (
            {"y_train": np.array([0, None])},
            "y_train is of dtype object; allowed are",
        ),
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


PIXELS = np.zeros((2, 4, 4, 3), np.uint8)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (np.array([0, 1], ">i8"), ["ant", "bee"]),
        (np.array([0, 1], np.uint64), np.array([b"ant", b"bee"])),
        (np.array([0, 1], np.int8), np.array(["ant", "bee"], ">U5")),
    ],
)
def test_npz_in_other_byte_orders_and_widths(tmp_path: Path, labels: Any, classes: Any) -> None:
    np.savez(tmp_path / "mine.npz", x_train=PIXELS, y_train=labels, classes=classes)
    dataset = load_dataset(tmp_path / "mine.npz")
    assert (dataset.labels.tolist(), dataset.classes) == ([0, 1], ("ant", "bee"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_train": [0, 10**9]}, r"the largest label is 1,000,000,000; allowed .* below 100,000"),
        ({"y_train": np.array([0, 2**63], np.uint64)}, "y_train: 1 of 2 labels are out of range"),
        ({"y_train": ["a", "b"]}, "y_train is <U1; allowed are integers from 0"),
        ({"y_train": np.zeros(2, "M8[s]")}, r"y_train is of dtype datetime64\[s\]"),
        ({"classes": np.zeros(100_001, "U1")}, r"classes is of shape \[100001\].* at most 100,000"),
        ({"classes": [["a", "b"]]}, r"classes is of shape \[1, 2\]; allowed is \[num_classes\]"),
        ({"classes": np.array([b"\xff", b"b"])}, "UnicodeDecodeError"),
        ({"classes": ["a", "\ud800"]}, "UnicodeEncodeError"),
        ({"x_train": PIXELS.astype(object)}, "x_train is of dtype object"),
    ],
)
def test_npz_arrays_that_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = tmp_path / "mine.npz"
    np.savez(path, **{"x_train": PIXELS, "y_train": [0, 1], **changes})
    with pytest.raises(ValueError, match=rf"mine\.npz.*({message})"):
        load_dataset(path)


def test_a_label_makes_no_names_of_classes(tmp_path: Path) -> None:
    import tracemalloc

    np.savez(tmp_path / "mine.npz", x_train=PIXELS, y_train=[0, 10**8])
    tracemalloc.start()
    with pytest.raises(ValueError, match="largest label"):
        load_dataset(tmp_path / "mine.npz")
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def _npy(shape: tuple[int, ...], dtype: str = "|u1") -> bytes:
    """The header of an array."""
    file = io.BytesIO()
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (_npy((10**6, 1000, 1000, 3)) + bytes(96), r"shape \[1000000, .*but has 96 bytes"),
        (_npy((2, 4, 4, 3)) + bytes(95), "but has 95 bytes"),
        (_npy((2, 4, 4, 3)) + bytes(97), "but has 97 bytes"),
        (_npy((-2, -4, 4, 3)) + bytes(96), r"shape \[-2, -4, 4, 3\]"),
        (_npy((10**15,), "<U0"), "is of dtype <U0"),
        (_npy((2, 10**12, 0, 3)), "at least one image"),
        (b"no array", "ValueError"),
        (b"", "ValueError"),
    ],
)
def test_npz_headers_are_checked_before_memory_is_taken(
    tmp_path: Path, content: bytes, message: str
) -> None:
    np.savez(tmp_path / "mine.npz", y_train=[0, 1])
    with zipfile.ZipFile(tmp_path / "mine.npz", "a") as archive:
        archive.writestr("x_train.npy", content)
    with pytest.raises(ValueError, match=rf"mine\.npz.*{message}"):
        load_dataset(tmp_path / "mine.npz")


def test_zip_bombs_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("x_train.npy", "w", force_zip64=True) as file,
    ):
        file.write(_npy((66, 1024, 1024)))
        for _ in range(66):
            file.write(bytes(2**20))
    with zipfile.ZipFile(path, "a") as archive:
        labels = _npy((66,), "<i8") + bytes(8 * 66)
        archive.writestr("y_train.npy", labels, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 2**20 * 66 / 200
    with pytest.raises(ValueError, match=r"bomb\.npz.*x_train is said to have 69,206,1\d\d bytes"):
        load_dataset(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compression_is_refused(tmp_path: Path, method: int) -> None:
    with zipfile.ZipFile(tmp_path / "mine.npz", "w", method) as archive:
        archive.writestr("x_train.npy", _npy((2, 4, 4, 3)) + bytes(96))
        archive.writestr("y_train.npy", _npy((2,), "<i8") + bytes(16))
    with pytest.raises(ValueError, match=f"compressed by method {method}; save with numpy.savez"):
        load_dataset(tmp_path / "mine.npz")


@pytest.mark.parametrize(
    ("content", "line", "remarks"),
    [
        (
            {"y_train": [1, 2, 3, 1], "y_test": [1, 2]},
            "4 training images of 4 classes, 2 for testing",
            ["no label is 0, so class '0' has no image; labels count from 0"],
        ),
        (
            {"y_train": [0, 3, 3, 0], "y_test": [1, 2]},
            "4 training images of 4 classes, 2 for testing",
            ["classes without training images: 1, 2"],
        ),
        (
            {"y_train": [1, 0, 1, 0], "x_val": PIXELS, "classes": ["ant", "bee"]},
            "4 training images of 2 classes; left out: 1 unknown array",
            ["x_val are not read; known are x_train, x_test, y_train, y_test, classes"],
        ),
        (
            {"y_train": [0, 0, 0, 0]},
            "4 training images of 1 class",
            ["'0' is the only class"],
        ),
        ({"y_train": [1, 0, 1, 0], "y_test": [0]}, "4 training images of 2 classes, 1 for", []),
    ],
)
def test_what_an_npz_holds_is_said(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    content: dict[str, Any],
    line: str,
    remarks: list[str],
) -> None:
    path = tmp_path / "mine.npz"
    np.savez(path, **{"x_train": np.zeros((4, 2, 2), np.uint8), **content})
    with caplog.at_level(logging.INFO, "tvtfast.data"):
        load_dataset(path)
    first, *others = caplog.messages
    assert first.startswith(f"{path}: {line}")
    assert len(others) == len(remarks)
    assert all(f"{path}: {text}" in said for text, said in zip(remarks, others, strict=True))


def test_truncated_npz(npz_file: Path) -> None:
    whole = npz_file.read_bytes()
    for length in (0, 10, len(whole) // 2):
        npz_file.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"tiny\.npz cannot be read as an \.npz file"):
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
