"""Frozen batches: drawing, moving, saving, and making one of what the caller has."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tvtfast.data import (
    IMAGENET_NORMALIZATION,
    FrozenBatch,
    eval_transform,
    fingerprint,
    frozen_batch,
    load_dataset,
    resolve_images,
)


def test_batch_describes_itself(npz_file: Path) -> None:
    batch = frozen_batch(npz_file, 4, img_size=16)
    assert batch.name == "tiny-train-4x16-seed0"
    assert (batch.dataset, batch.split, batch.num_classes, len(batch)) == ("tiny", "train", 3, 4)
    assert batch.images.shape == (4, 3, 16, 16)
    assert (batch.images.dtype, batch.labels.dtype) == (torch.float32, torch.int64)
    assert batch.normalization == IMAGENET_NORMALIZATION
    assert batch.fingerprint == fingerprint(batch.images, batch.labels)
    assert sorted(batch.labels[:3].tolist()) == [0, 1, 2]


def test_batch_holds_transformed_images_with_their_labels(npz_file: Path) -> None:
    dataset = load_dataset(npz_file)
    batch = frozen_batch(dataset, len(dataset), img_size=9)
    expected = {
        fingerprint(eval_transform(9)(image)): label
        for image, label in (dataset[index] for index in range(len(dataset)))
    }
    drawn = [fingerprint(image) for image in batch.images]
    assert set(drawn) == set(expected)
    assert [expected[image] for image in drawn] == batch.labels.tolist()


def test_default_sizes(npz_file: Path) -> None:
    assert frozen_batch(npz_file, 1).images.shape[-2:] == (224, 224)
    assert frozen_batch("digits", 1, split="eval").name == "digits-test-1x32-seed0"


@pytest.mark.parametrize("augment", [False, True])
def test_same_seed_same_bits_whatever_the_global_state(augment: bool) -> None:
    first = frozen_batch("digits", 20, seed=3, augment=augment)
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    again = frozen_batch("digits", 20, seed=3, augment=augment)
    after = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    assert after == before
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.labels, again.labels)
    assert first.fingerprint == again.fingerprint
    assert frozen_batch("digits", 20, seed=4, augment=augment).fingerprint != first.fingerprint


@pytest.mark.parametrize("augment", [False, True])
def test_smaller_batch_is_the_beginning_of_a_larger_one(augment: bool) -> None:
    small, large = (frozen_batch("digits", count, augment=augment) for count in (7, 20))
    assert torch.equal(small.images, large.images[:7])
    assert torch.equal(small.labels, large.labels[:7])


def test_augmentation_changes_pixels_not_the_draw() -> None:
    plain, augmented = frozen_batch("digits", 10), frozen_batch("digits", 10, augment=True)
    assert torch.equal(plain.labels, augmented.labels)
    assert not torch.equal(plain.images, augmented.images)
    assert augmented.name == "digits-train-10x32-seed0-augmented"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 13}, r"batch_size=13: tiny train has 12 images.*1\.\.12"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"batch_size": 2, "seed": -1}, "seed=-1"),
        ({"batch_size": 2, "img_size": 0}, "img_size=0"),
    ],
)
def test_draw_refusals(npz_file: Path, arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        frozen_batch(npz_file, **arguments)


def test_split_of_a_loaded_set_is_settled(npz_file: Path) -> None:
    with pytest.raises(ValueError, match="already loaded"):
        frozen_batch(load_dataset(npz_file), 2, split="test")


def test_to_moves_and_casts_images_only() -> None:
    batch = frozen_batch("digits", 2)
    half = batch.to("cpu", torch.bfloat16)
    assert (half.images.dtype, half.labels.dtype) == (torch.bfloat16, torch.int64)
    assert half.fingerprint == batch.fingerprint
    assert batch.images.dtype == torch.float32
    assert batch.to("meta").images.device.type == "meta"
    with pytest.raises(ValueError, match=r"dtype=torch\.int32"):
        batch.to(dtype=torch.int32)


def test_save_and_load(tmp_path: Path) -> None:
    batch = frozen_batch("digits", 5, seed=2, augment=True)
    path = tmp_path / "batch.safetensors"
    batch.save(path)
    batch.save(path)
    assert [file.name for file in tmp_path.iterdir()] == ["batch.safetensors"]
    loaded = FrozenBatch.load(path)
    assert torch.equal(loaded.images, batch.images)
    assert torch.equal(loaded.labels, batch.labels)
    for field in ("normalization", "name", "dataset", "split", "num_classes", "fingerprint"):
        assert getattr(loaded, field) == getattr(batch, field)


def test_save_and_load_plain_tensors(tmp_path: Path) -> None:
    path = tmp_path / "tensor.safetensors"
    resolve_images(torch.randn(2, 3, 4, 4, dtype=torch.float64).mT).save(path)
    loaded = FrozenBatch.load(path)
    assert (loaded.labels, loaded.normalization, loaded.num_classes) == (None, None, None)
    assert loaded.images.dtype == torch.float64


def test_cast_batch_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"before casting it"):
        frozen_batch("digits", 2).to(dtype=torch.float16).save(tmp_path / "half.safetensors")
    assert not list(tmp_path.iterdir())


def test_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "batch.safetensors"
    frozen_batch("digits", 2).save(path)
    old = path.read_bytes()

    def full_disk(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("os.replace", full_disk)
    with pytest.raises(OSError, match="no space left"):
        frozen_batch("digits", 3).save(path)
    assert path.read_bytes() == old
    assert len(list(tmp_path.iterdir())) == 1


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "batch.safetensors"
    frozen_batch("digits", 2).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(ValueError, match="damaged or was changed|cannot be read as a frozen batch"):
        FrozenBatch.load(path)
    path.write_bytes(whole[:100])
    with pytest.raises(ValueError, match="cannot be read as a frozen batch"):
        FrozenBatch.load(path)
    path.write_bytes(whole)
    save_file(load_file(path), path)
    with pytest.raises(ValueError, match="cannot be read as a frozen batch"):
        FrozenBatch.load(path)
    with pytest.raises(FileNotFoundError):
        FrozenBatch.load(tmp_path / "missing.safetensors")


def test_resolve_returns_a_frozen_batch_as_it_is() -> None:
    batch = frozen_batch("digits", 2)
    assert resolve_images(batch) is batch


def test_resolve_draws_from_names_paths_and_loaded_sets(npz_file: Path, tmp_path: Path) -> None:
    drawn = resolve_images("digits", batch_size=3, seed=5)
    assert drawn.name == "digits-train-3x32-seed5"
    drawn.save(tmp_path / "saved.safetensors")
    assert resolve_images(str(tmp_path / "saved.safetensors")).fingerprint == drawn.fingerprint
    assert resolve_images(npz_file, batch_size=2, img_size=8, split="test").split == "test"
    assert resolve_images("npz", path=npz_file, batch_size=2, img_size=8).dataset == "tiny"
    assert resolve_images(load_dataset("digits"), batch_size=3, seed=5).name == drawn.name


def test_resolve_takes_tensors() -> None:
    images = torch.randn(2, 3, 5, 7, requires_grad=True)
    batch = resolve_images(images, labels=torch.tensor([1, 0], dtype=torch.int32), num_classes=2)
    assert (batch.name, batch.dataset, batch.split) == ("tensor", "tensor", "")
    assert batch.normalization is None
    assert not batch.images.requires_grad
    assert batch.images.data_ptr() == images.data_ptr()
    assert batch.labels.dtype == torch.int64
    assert resolve_images(images).labels is None
    assert resolve_images(images).fingerprint != batch.fingerprint


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(2, 3, 4, 4, dtype=torch.uint8), "images are torch.uint8"),
        (torch.zeros(2, 1, 4, 4), r"shape \[2, 1, 4, 4\].*grey channel three times"),
        (torch.zeros(3, 4, 4), r"allowed is floating point of shape \[B, 3, H, W\]"),
        (torch.zeros(0, 3, 4, 4), "are empty; give at least one"),
        (torch.zeros(1, 3, 0, 4), "are empty"),
    ],
)
def test_resolve_refuses_tensors(images: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resolve_images(images)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_resolve_counts_broken_images(value: float) -> None:
    images = torch.zeros(6, 3, 4, 4, dtype=torch.bfloat16)
    images[3, 1, 2, 2] = images[5, 0, 0, 0] = images[5, 2, 3, 3] = value
    with pytest.raises(ValueError, match="2 of 6 images hold NaN or infinite.*at index 3"):
        resolve_images(images)


def test_resolve_refuses_labels_and_types() -> None:
    images = torch.zeros(2, 3, 4, 4)
    with pytest.raises(ValueError, match=r"integers of shape \[2\]"):
        resolve_images(images, labels=torch.zeros(3, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"is 2; allowed is 0\.\.1"):
        resolve_images(images, labels=torch.tensor([0, 2]), num_classes=2)
    with pytest.raises(ValueError, match="is -1; allowed is 0 or more"):
        resolve_images(images, labels=torch.tensor([0, -1]))
    with pytest.raises(ValueError, match="go with a tensor"):
        resolve_images("digits", labels=torch.tensor([0]))
    with pytest.raises(TypeError, match="images is a list; allowed are"):
        resolve_images([images])  # type: ignore[arg-type]


def test_a_set_of_fewer_images_than_32_is_drawn_whole(npz_file: Path) -> None:
    for dataset in (npz_file, load_dataset(npz_file)):
        batch = frozen_batch(dataset, img_size=8)
        assert (len(batch), batch.name) == (12, "tiny-train-12x8-seed0")
    assert batch.labels is not None and sorted(batch.labels.tolist()) == [0] * 6 + [1] * 4 + [2] * 2
    assert len(frozen_batch("digits")) == 32
    assert len(resolve_images(npz_file, img_size=8)) == 12
    with pytest.raises(ValueError, match="batch_size=32: tiny train has 12 images"):
        frozen_batch(npz_file, 32, img_size=8)
