"""The published transforms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tvtfast.data import (
    Normalization,
    eval_transform,
    light_transform,
    train_transform,
    weak_transform,
)
from tvtfast.data.seeding import local_rng

HALF = Normalization((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def _gradient() -> Image.Image:
    pixels = np.linspace(0, 255, 30 * 20 * 3).astype(np.uint8).reshape(20, 30, 3)
    return Image.fromarray(pixels)


def test_eval_is_a_plain_bicubic_resize() -> None:
    image = _gradient()
    resized = np.asarray(image.resize((16, 16), Image.Resampling.BICUBIC)).transpose(2, 0, 1)
    expected = (torch.from_numpy(resized.copy()) / 255 - 0.5) / 0.5
    assert torch.equal(eval_transform(16, HALF)(image), expected)


def test_eval_default_is_imagenet() -> None:
    white = eval_transform(4)(Image.new("RGB", (9, 9), "white"))
    expected = [(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225]
    torch.testing.assert_close(white[:, 0, 0], torch.tensor(expected))


def test_train_is_the_published_recipe() -> None:
    steps = repr(train_transform(24))
    for step in (
        "RandomResizedCropAndInterpolation(size=(24, 24), scale=(0.08, 1.0)",
        "interpolation=bicubic",
        "RandomHorizontalFlip(p=0.5)",
        "RandAugment(n=2",
        "m=9",
        "mstd=0.5",
        "Normalize(mean=tensor([0.4850, 0.4560, 0.4060])",
        "RandomErasing(p=0.25, mode=pixel, count=(1, 1))",
    ):
        assert step in steps
    assert "ColorJitter" not in steps


def test_weak_is_the_same_without_randaugment() -> None:
    weak, strong = (make(24).transforms for make in (weak_transform, train_transform))
    kept = [step for step in strong if not hasattr(step, "ops")]
    assert list(map(repr, weak)) == list(map(repr, kept)) and len(weak) == len(strong) - 1


def test_train_varies_and_repeats_with_the_generators() -> None:
    transform, image = train_transform(24), _gradient()

    def drawn(key: int) -> torch.Tensor:
        with local_rng(key):
            return transform(image)

    assert drawn(0).shape == (3, 24, 24)
    assert drawn(0).dtype == torch.float32
    assert torch.equal(drawn(0), drawn(0))
    assert not torch.equal(drawn(0), drawn(1))


def test_train_survives_its_largest_magnitude() -> None:
    """Posterize then keeps no bit at all, which Pillow 13 refuses."""
    (augment,) = (step for step in train_transform(24).transforms if hasattr(step, "ops"))
    for operation in augment.ops:
        for magnitude in (0.0, 9.0, 9.9, 10.0):
            operation.prob, operation.magnitude, operation.magnitude_std = 1.0, magnitude, 0.0
            image = operation(_gradient())
            assert image.size == (30, 20)
            if operation.name == "PosterizeIncreasing":
                kept = 4 - int(magnitude / 10 * 4)
                expected = np.asarray(_gradient()).astype(int) & ~(2 ** (8 - kept) - 1)
                assert np.array_equal(np.asarray(image), expected)


@pytest.mark.parametrize("make", [eval_transform, train_transform])
def test_size_must_be_positive(make: object) -> None:
    with pytest.raises(ValueError, match="img_size=0"):
        make(0)  # type: ignore[operator]


@pytest.mark.parametrize("size", [(1, 1), (4000, 1), (1, 3000)])
@pytest.mark.parametrize("make", [eval_transform, train_transform, weak_transform, light_transform])
def test_images_of_one_pixel_and_very_wide_ones(make: Any, size: tuple[int, int]) -> None:
    for seed in range(4):
        with local_rng(seed):
            assert make(32)(Image.new("RGB", size, "red")).shape == (3, 32, 32)
