"""What is held out of training images, and which split is which."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tvtfast.data import VisionDataset, hold_out, load_dataset, load_splits
from tvtfast.data.images import ArrayImages

ImageWriter = Callable[[Path, int], None]
LABELS = st.lists(st.integers(3, 20), min_size=1, max_size=6)
SHARES = st.floats(0.01, 0.99)


def images_of(sizes: list[int], seed: int = 0) -> VisionDataset:
    """Every image is told by its grey value."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    np.random.RandomState(seed).shuffle(labels)
    pixels = np.arange(len(labels), dtype=np.uint8)[:, None, None].repeat(4, 1).repeat(4, 2)
    names = [f"class {label}" for label in range(len(sizes))]
    return VisionDataset(ArrayImages(pixels, "grey"), labels, names, name="grey", split="train")


def greys(part: VisionDataset) -> list[int]:
    return [int(np.asarray(part.images[row])[0, 0, 0]) for row in range(len(part))]


@settings(deadline=None, max_examples=30)
@given(sizes=LABELS, share=SHARES, seed=st.integers(0, 2**40))
def test_every_class_gives_its_share_and_keeps_some(
    sizes: list[int], share: float, seed: int
) -> None:
    whole = images_of(sizes)
    train, held_out = hold_out(whole, share, seed=seed)
    assert sorted(greys(train) + greys(held_out)) == greys(whole)
    assert greys(train) == sorted(greys(train)) and greys(held_out) == sorted(greys(held_out))
    found = held_out.labels.bincount(minlength=len(sizes)).tolist()
    assert found == [min(max(round(share * size), 2), size - 1) for size in sizes]
    for part in (train, held_out):
        assert part.labels.tolist() == whole.labels[greys(part)].tolist()
        assert part.classes == whole.classes and part.normalization == whole.normalization
    smaller = hold_out(whole, share / 2, seed=seed)[1]
    assert set(greys(smaller)) <= set(greys(held_out))


def test_it_is_a_function_of_seed_and_labels() -> None:
    whole = images_of([40, 50, 60])
    other = VisionDataset(
        ArrayImages(np.zeros((150, 2, 2), np.uint8), "blank"),
        whole.labels,
        whole.classes,
        name="blank",
        split="x",
    )
    first = hold_out(whole)[1]
    assert greys(first) == greys(hold_out(whole, 0.2, seed=0)[1])
    assert greys(first) == list(hold_out(other)[1].images.rows)
    assert greys(first) != greys(hold_out(whole, seed=1)[1])
    # drawn once, and the same on every platform and version
    assert greys(first)[:6] == [2, 6, 11, 17, 20, 33]


def test_parts_are_other_data_sets_than_the_whole() -> None:
    whole = images_of([10, 10])
    train, held_out = hold_out(whole)
    assert len({whole.fingerprint, train.fingerprint, held_out.fingerprint}) == 3
    assert (train.split, held_out.split) == ("train-rest0.2-seed0", "train-held-out0.2-seed0")
    assert train.name == held_out.name == "grey"
    again = ArrayImages(whole.images.pixels[greys(held_out)], "the same")
    copied = VisionDataset(again, held_out.labels, whole.classes, name="y", split="z")
    assert copied.fingerprint == held_out.fingerprint
    nested = hold_out(train, 0.5)[1]
    assert greys(nested) == [int(np.asarray(image)[0, 0, 0]) for image, _ in nested]
    assert torch.equal(nested.labels, whole.labels[greys(nested)])


def test_what_cannot_be_held_out() -> None:
    with pytest.raises(ValueError, match=r"classes class 1 \(2\), class 2 \(1\): 2 of every class"):
        hold_out(images_of([5, 2, 1]))
    with pytest.raises(ValueError, match="--search-split 0, search_split=0"):
        hold_out(images_of([2]))
    for share in (0, 1, -0.1, float("nan"), True):
        with pytest.raises(ValueError, match="share is"):
            hold_out(images_of([5]), share)
    empty = images_of([4, 4])
    beside = VisionDataset(empty.images, empty.labels, ["a", "b", "none"], name="g", split="t")
    assert hold_out(beside)[1].labels.bincount(minlength=3).tolist() == [2, 2, 0]


def test_digits_are_held_out_of_train() -> None:
    splits = load_splits("digits")
    assert str(splits) == (
        "1,154 images of train-rest0.2-seed0 to train on, 288 of train-held-out0.2-seed0 to choose "
        "by, 355 of test to test on"
    )
    whole = load_splits("digits", search_split=0)
    assert whole.held_out is None and len(whole.train) == 1442
    assert str(whole) == "1,442 images of train to train on, 355 of test to test on"
    assert whole.test.fingerprint == splits.test.fingerprint
    with pytest.raises(ValueError, match="search_split is 1"):
        load_splits("digits", search_split=1)


def test_a_folder_is_chosen_by_its_own_validation_where_it_has_a_test(
    tmp_path: Path, write_image: ImageWriter
) -> None:
    for split, count in (("train", 5), ("val", 3)):
        for number in range(count):
            write_image(tmp_path / split / "rose" / f"{number}.png", number)
    splits = load_splits(tmp_path)
    assert splits.held_out is not None
    assert (len(splits.train), len(splits.held_out), splits.test.split) == (3, 2, "val")
    write_image(tmp_path / "test" / "rose" / "0.png", 9)
    splits = load_splits(tmp_path)
    assert splits.held_out is not None
    assert (splits.train.split, splits.held_out.split, splits.test.split) == (
        "train",
        "val",
        "test",
    )
    assert (len(splits.train), len(splits.held_out), len(splits.test)) == (5, 3, 1)
    nothing = load_splits(tmp_path, search_split=0)
    assert nothing.held_out is None and len(nothing.train) == 5
    (tmp_path / "val").rename(tmp_path / "beside")
    assert load_splits(tmp_path).train.split == "train-rest0.2-seed0"
    assert load_dataset(tmp_path).split == "train"
