"""The published test transform and training augmentation (tiny-transformers, Auto-Prox)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from PIL import Image, ImageOps
from torch import Tensor

from tvtfast.common.normalization import IMAGENET_NORMALIZATION, Normalization
from tvtfast.common.torchvision import ensure_torchvision

Transform: TypeAlias = Callable[[Image.Image], Tensor]
"""RGB PIL image of any size -> float32 ``[3, img_size, img_size]``."""


def eval_transform(
    img_size: int, normalization: Normalization = IMAGENET_NORMALIZATION
) -> Transform:
    """The published test transform: bicubic resize to a square (no crop), then normalise.

    Args:
        img_size: Side in pixels; the aspect ratio is not kept.
        normalization: Channel mean and standard deviation.

    Returns:
        Deterministic function from an RGB PIL image to float32 ``[3, img_size, img_size]``.
    """
    _check_img_size(img_size)
    ensure_torchvision()
    from torchvision import transforms

    transform: Transform = transforms.Compose(
        [
            transforms.Resize((img_size, img_size), transforms.InterpolationMode.BICUBIC),
            transforms.ToTensor(),
            transforms.Normalize(normalization.mean, normalization.std),
        ]
    )
    return transform


def resize_transform(img_size: int) -> Callable[[Image.Image], Tensor]:
    """What `eval_transform` does before it normalises: from an RGB PIL image to uint8
    ``[3, img_size, img_size]``."""
    _check_img_size(img_size)
    ensure_torchvision()
    from torchvision import transforms

    transform: Callable[[Image.Image], Tensor] = transforms.Compose(
        [
            transforms.Resize((img_size, img_size), transforms.InterpolationMode.BICUBIC),
            transforms.PILToTensor(),
        ]
    )
    return transform


def normalize_resized(
    pixels: Tensor, normalization: Normalization = IMAGENET_NORMALIZATION
) -> Tensor:
    """What `eval_transform` makes of images that `resize_transform` resized, to the bit.

    Args:
        pixels: uint8 ``[B, 3, H, W]``, on the CPU (a GPU divides by 255 with another rounding).
        normalization: Channel mean and standard deviation.

    Returns:
        float32 ``[B, 3, H, W]``.
    """
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in (normalization.mean, normalization.std))
    return pixels.to(torch.float32).div_(255).sub_(mean).div_(std)


def train_transform(
    img_size: int,
    normalization: Normalization = IMAGENET_NORMALIZATION,
    *,
    rand_augment: int = 9,
    random_erasing: float = 0.25,
) -> Transform:
    """The published training augmentation, built by ``timm.data.create_transform``.

    Random-resized crop (bicubic), horizontal flip, RandAugment ``rand-m9-mstd0.5-inc1``,
    normalisation, random erasing (p 0.25, per-pixel noise).

    Args:
        img_size: Side in pixels.
        normalization: Channel mean and standard deviation.
        rand_augment: Magnitude of RandAugment, in 0..10.
        random_erasing: Probability of random erasing.

    Returns:
        Function from an RGB PIL image to float32 ``[3, img_size, img_size]``. It draws from the
        global generators of ``random``, ``numpy.random`` and ``torch``.
    """
    _check_img_size(img_size)
    ensure_torchvision()
    from timm.data.transforms_factory import create_transform

    composed = create_transform(
        img_size,
        is_training=True,
        interpolation="bicubic",
        auto_augment=f"rand-m{rand_augment}-mstd0.5-inc1",
        re_prob=random_erasing,
        re_mode="pixel",
        re_count=1,
        mean=normalization.mean,
        std=normalization.std,
    )
    for step in composed.transforms:
        for operation in getattr(step, "ops", ()):
            if operation.name == "PosterizeIncreasing":
                operation.aug_fn = _posterize
    transform: Transform = composed
    return transform


def weak_transform(
    img_size: int,
    normalization: Normalization = IMAGENET_NORMALIZATION,
    *,
    random_erasing: float = 0.25,
) -> Transform:
    """`train_transform` without RandAugment: random-resized crop (bicubic), horizontal flip,
    normalisation, random erasing (p 0.25, per-pixel noise). What ViTAS trains its superformer with.

    Args:
        img_size: Side in pixels.
        normalization: Channel mean and standard deviation.
        random_erasing: Probability of random erasing.

    Returns:
        Function from an RGB PIL image to float32 ``[3, img_size, img_size]``. It draws from the
        global generators of ``random``, ``numpy.random`` and ``torch``.
    """
    _check_img_size(img_size)
    ensure_torchvision()
    from timm.data.transforms_factory import create_transform

    transform: Transform = create_transform(
        img_size,
        is_training=True,
        interpolation="bicubic",
        color_jitter=None,  # type: ignore[arg-type]  # the default of timm's inner function
        re_prob=random_erasing,
        re_mode="pixel",
        re_count=1,
        mean=normalization.mean,
        std=normalization.std,
    )
    return transform


def light_transform(
    img_size: int, normalization: Normalization = IMAGENET_NORMALIZATION
) -> Transform:
    """Shifts alone: bicubic resize to a square, then a crop at a random offset of up to an eighth
    of the side, beyond whose edges the border pixels repeat.

    Args:
        img_size: Side in pixels.
        normalization: Channel mean and standard deviation.

    Returns:
        Function from an RGB PIL image to float32 ``[3, img_size, img_size]``. It draws from torch's
        global generator.
    """
    _check_img_size(img_size)
    ensure_torchvision()
    from torchvision import transforms

    transform: Transform = transforms.Compose(
        [
            transforms.Resize((img_size, img_size), transforms.InterpolationMode.BICUBIC),
            transforms.RandomCrop(img_size, padding=-(-img_size // 8), padding_mode="edge"),
            transforms.ToTensor(),
            transforms.Normalize(normalization.mean, normalization.std),
        ]
    )
    return transform


def _posterize(image: Image.Image, bits: int, **options: Any) -> Image.Image:
    """Keep the ``bits`` highest bits of every channel. At its largest magnitude RandAugment asks
    for none, which is a black image; Pillow 13 refuses it, and timm hands it on."""
    return ImageOps.posterize(image, bits) if bits else Image.new(image.mode, image.size)


def _check_img_size(img_size: int) -> None:
    if img_size < 1:
        raise ValueError(f"img_size={img_size}: give a side of at least 1 pixel")
