"""Names, splits and the data set that is always there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from tvtfast.data import (
    DATASETS,
    IMAGENET_NORMALIZATION,
    DatasetNotFoundError,
    Normalization,
    VisionDataset,
    available,
    eval_transform,
    load_dataset,
)
from tvtfast.data.registry import address


def test_every_known_set_is_listed() -> None:
    assert available() == tuple(DATASETS)
    assert set(available()) == {
        *("digits", "cifar10", "cifar100", "flowers102"),
        *("chaoyang", "tiny-imagenet", "imagenet", "imagefolder", "npz"),
    }
    for info in DATASETS.values():
        assert info.train_split in info.splits
        assert info.eval_split in info.splits


def test_digits_is_split_once_for_all_and_by_class() -> None:
    train, test = load_dataset("Digits"), load_dataset("digits", split="test")
    assert (len(train), len(test)) == (1442, 355)
    for label, (in_train, in_test) in enumerate(
        zip(train.labels.bincount(), test.labels.bincount(), strict=True)
    ):
        assert 4 * in_test <= in_train <= 4 * in_test + 4, label
    image, label = train[0]
    assert (image.mode, image.size, label, type(label)) == ("RGB", (8, 8), 0, int)
    assert np.asarray(image).max() == 255 * 15 // 16


def test_digits_splits_are_the_whole_set() -> None:
    from sklearn.datasets import load_digits

    pixels = [
        np.asarray(image)[..., 0].tobytes()
        for split in ("train", "test")
        for image in load_dataset("digits", split=split).images
    ]
    whole = np.rint(load_digits().images * 255 / 16).astype(np.uint8)
    assert sorted(pixels) == sorted(image.tobytes() for image in whole)


def test_data_set_describes_itself() -> None:
    dataset = load_dataset("digits", split="eval")
    assert repr(dataset) == "VisionDataset('digits', split='test', 355 images, 10 classes)"
    assert dataset.labels.dtype == torch.int64
    assert dataset.normalization == IMAGENET_NORMALIZATION
    assert dataset.img_size == 32


def test_with_transform_feeds_a_data_loader() -> None:
    dataset = load_dataset("digits").with_transform(eval_transform(16))
    images, labels = next(iter(DataLoader(dataset, batch_size=4)))
    assert images.shape == (4, 3, 16, 16)
    assert labels.tolist() == load_dataset("digits").labels[:4].tolist()


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="digits has no split 'valid'; allowed: train, test"):
        load_dataset("digits", split="valid")
    with pytest.raises(ValueError, match="takes no path"):
        load_dataset("digits", tmp_path)
    with pytest.raises(ValueError, match="unknown data set 'cifra100'; known: digits, cifar10"):
        load_dataset("cifra100")
    with pytest.raises(ValueError, match="unknown data set 'cifra100'.*needs one of these names"):
        load_dataset("cifra100", tmp_path)
    for path in ("missing.npz", "./missing", str(tmp_path / "missing")):
        with pytest.raises(DatasetNotFoundError, match="does not exist"):
            load_dataset(path)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ValueError, match="neither an .npz file nor a folder"):
        load_dataset(tmp_path / "notes.txt")


def test_own_images_need_as_many_labels() -> None:
    images = load_dataset("digits").images
    with pytest.raises(ValueError, match="one per image"):
        VisionDataset(images, [0, 1], ["a", "b"], name="mine", split="train")


@pytest.mark.parametrize(
    ("mean", "std"),
    [((0.5, 0.5), (1, 1, 1)), ((0, 0, 0), (1, 0, 1)), ((0, float("nan"), 0), (1, 1, 1))],
)
def test_normalization_refusals(mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="three finite numbers|above 0"):
        Normalization(mean, std)


def test_an_address_holds_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert address("CIFAR-100") == ("CIFAR-100", None)
    assert address("cifar100", "data") == ("cifar100", str(tmp_path / "data"))
    assert address("photos") == (str(tmp_path / "photos"), None)
    assert address(Path("photos.npz")) == (str(tmp_path / "photos.npz"), None)
