"""Training augmentation that says where in the image its result comes from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from tvtfast.common.normalization import Normalization
from tvtfast.data.transforms import (
    eval_transform,
    light_transform,
    train_transform,
    weak_transform,
)

AUGMENTATIONS = ("strong", "weak", "light", "none")
"""``strong`` is `tvtfast.data.train_transform`, ``weak`` is `tvtfast.data.weak_transform`,
``light`` is `tvtfast.data.light_transform`, and ``none`` is `tvtfast.data.eval_transform`."""

PlacedTransform: TypeAlias = Callable[[Image.Image], tuple[Tensor, Tensor]]
"""RGB PIL image -> float32 ``[3, img_size, img_size]`` and its place, float32 ``[5]``: top, left,
height and width as fractions of the image (outside 0..1 beyond its edges), and 1 where flipped."""


def placed_transform(
    augmentation: str,
    img_size: int,
    normalization: Normalization,
    *,
    rand_augment: int = 9,
    random_erasing: float = 0.25,
) -> PlacedTransform:
    """The transform of a name in `AUGMENTATIONS`, with places; it draws as that one does.

    Args:
        augmentation: A name of `AUGMENTATIONS`.
        img_size: Side in pixels.
        normalization: Channel mean and standard deviation.
        rand_augment: Magnitude of RandAugment in ``strong``.
        random_erasing: Probability of random erasing in ``strong`` and ``weak``.
    """
    if augmentation == "strong":
        strong = train_transform(
            img_size, normalization, rand_augment=rand_augment, random_erasing=random_erasing
        )
        return _Cropped(strong)
    if augmentation == "weak":
        return _Cropped(weak_transform(img_size, normalization, random_erasing=random_erasing))
    if augmentation == "light":
        return _Light(light_transform(img_size, normalization))
    plain = eval_transform(img_size, normalization)
    return lambda image: (plain(image), _place(0, 0, 1, 1))


def crop_features(x: Tensor, places: Tensor) -> Tensor:
    """Features of whole images as they were if the images had been cropped and flipped.

    Bilinear at the same resolution (``align_corners=False``); beyond the edges the border repeats.

    Args:
        x: ``[B, C, H, W]``, floating point.
        places: ``[B, 5]`` of a `PlacedTransform`.

    Returns:
        ``[B, C, H, W]``.
    """
    top, left, height, width, flipped = places.to(x.dtype).unbind(dim=1)
    zero = torch.zeros_like(top)
    rows = torch.stack((zero, height, 2 * top + height - 1), dim=1)
    columns = torch.stack((width * (1 - 2 * flipped), zero, 2 * left + width - 1), dim=1)
    grid = F.affine_grid(torch.stack((columns, rows), dim=1), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


class _Cropped:
    """The first two steps of a published augmentation, a crop and a flip, taken apart."""

    def __init__(self, published: Any) -> None:
        self.crop, self.flip, *rest = published.transforms
        self.rest = type(published)(rest)

    def __call__(self, image: Image.Image) -> tuple[Tensor, Tensor]:
        from torchvision.transforms import functional

        crop = self.crop
        top, left, height, width = crop.get_params(image, crop.scale, crop.ratio)
        resized = functional.resized_crop(
            image, top, left, height, width, crop.size, crop.interpolation
        )
        flipped = bool(torch.rand(1) < self.flip.p)
        pixels = self.rest(functional.hflip(resized) if flipped else resized)
        w, h = image.size
        return pixels, _place(top / h, left / w, height / h, width / w, flipped)


class _Light:
    """A shift, taken apart."""

    def __init__(self, published: Any) -> None:
        self.resize, self.crop, *rest = published.transforms
        self.rest = type(published)(rest)

    def __call__(self, image: Image.Image) -> tuple[Tensor, Tensor]:
        from torchvision.transforms import functional

        side, margin = self.crop.size[0], self.crop.padding
        padded = functional.pad(self.resize(image), margin, padding_mode=self.crop.padding_mode)
        top, left, height, width = self.crop.get_params(padded, self.crop.size)
        pixels = self.rest(functional.crop(padded, top, left, height, width))
        return pixels, _place((top - margin) / side, (left - margin) / side, 1, 1)


def _place(top: float, left: float, height: float, width: float, flipped: bool = False) -> Tensor:
    return torch.tensor((top, left, height, width, float(flipped)))
