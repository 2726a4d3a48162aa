"""Augmentation that says where its result comes from, and features that follow it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tvtfast.common.normalization import IMAGENET_NORMALIZATION, Normalization
from tvtfast.data import eval_transform, light_transform, train_transform
from tvtfast.data.placed import crop_features, placed_transform
from tvtfast.data.seeding import local_rng
from tvtfast.distill import Distillation

PUBLISHED = {"strong": train_transform, "light": light_transform, "none": eval_transform}


def picture(height: int = 24, width: int = 31) -> Image.Image:
    pixels = np.random.RandomState(0).randint(0, 256, (height, width, 3))
    return Image.fromarray(pixels.astype(np.uint8))


@pytest.mark.parametrize("augmentation", PUBLISHED)
def test_images_are_those_of_the_published_transform(augmentation):
    published = PUBLISHED[augmentation](20)
    placed = placed_transform(augmentation, 20, IMAGENET_NORMALIZATION)
    for seed in range(12):
        with local_rng(seed):
            expected = published(picture())
        with local_rng(seed):
            pixels, place = placed(picture())
        assert torch.equal(pixels, expected)
        assert place.shape == (5,) and place.dtype == torch.float32


def ramp(side: int) -> Image.Image:
    """Red rises from left to right and green from top to bottom, by 4 per pixel."""
    rows, columns = np.mgrid[:side, :side] * 4
    return Image.fromarray(np.stack((columns, rows, 0 * rows), axis=-1).astype(np.uint8))


@pytest.mark.parametrize("augmentation", ("strong", "light"))
def test_places_say_where_pixels_come_from(augmentation, monkeypatch):
    """Colours of a ramp are coordinates; its features are cropped by what the place says."""
    plain = Normalization((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    placed = placed_transform(augmentation, 64, plain)
    if augmentation == "strong":
        placed.rest.transforms = [
            step
            for step in placed.rest.transforms
            if type(step).__name__ != "RandAugment" and type(step).__name__ != "RandomErasing"
        ]
    whole = eval_transform(64, plain)(ramp(64))[None]
    flips = set()
    for seed in range(10):
        with local_rng(seed):
            pixels, place = placed(ramp(64))
        cropped = crop_features(whole, place[None])[0]
        inside = (slice(None), slice(6, -6), slice(6, -6))
        # one grey level of rounding, and half a pixel where bicubic and bilinear taps differ
        assert (pixels[inside] - cropped[inside]).abs().max() < 5 / 255
        flips.add(place[4].item())
    assert flips == ({0.0, 1.0} if augmentation == "strong" else {0.0})


def formula(x: Tensor, place: Tensor) -> Tensor:
    """One bilinear tap per output position, in fp64."""
    top, left, height, width, flipped = place.double().tolist()
    _, rows, columns = x.shape
    out = torch.empty_like(x, dtype=torch.float64)
    for i in range(rows):
        for j in range(columns):
            across = (columns - 1 - j if flipped else j) + 0.5
            y = (top + height * (i + 0.5) / rows) * rows - 0.5
            u = (left + width * across / columns) * columns - 0.5
            y, u = min(max(y, 0.0), rows - 1.0), min(max(u, 0.0), columns - 1.0)
            y0, u0 = int(y), int(u)
            y1, u1 = min(y0 + 1, rows - 1), min(u0 + 1, columns - 1)
            fy, fu = y - y0, u - u0
            out[:, i, j] = (
                x[:, y0, u0] * (1 - fy) * (1 - fu)
                + x[:, y0, u1] * (1 - fy) * fu
                + x[:, y1, u0] * fy * (1 - fu)
                + x[:, y1, u1] * fy * fu
            )
    return out


@pytest.mark.parametrize("size", ((5, 7), (1, 1), (8, 3)))
def test_cropped_features_are_their_formula(size):
    x = torch.randn(4, 2, *size, dtype=torch.float64)
    places = torch.tensor(
        [
            [0.0, 0.0, 1.0, 1.0, 0.0],
            [0.0, 0.0, 1.0, 1.0, 1.0],
            [0.25, 0.1, 0.5, 0.3, 1.0],
            [-0.125, 0.0625, 1.0, 1.0, 0.0],
        ],
        dtype=torch.float64,
    )
    actual = crop_features(x, places)
    for index in range(4):
        torch.testing.assert_close(actual[index], formula(x[index], places[index]))
    torch.testing.assert_close(actual[0], x[0])
    torch.testing.assert_close(actual[1], x[1].flip(-1))


def test_without_augmentation_offline_and_online_are_the_same(small, tmp_path):
    common = {"augmentation": "none", "epochs": 2}
    online = small.train(tmp_path / "online", **common)
    offline = small.train(tmp_path / "offline", offline=True, **common)
    for row, expected in zip(offline.history, online.history, strict=True):
        assert row["guidance"] == pytest.approx(expected["guidance"], rel=1e-4)
    assert offline.student.card.recipe["distillation"]["offline"]


def test_offline_goes_with_guidance_alone():
    for changes in ({"logits": "soft"}, {"paper": True}, {"guidance": None}):
        with pytest.raises(ValueError, match="it goes with guidance, logits=None"):
            Distillation(offline=True, **changes)
