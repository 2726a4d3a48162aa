"""Images that several benchmarks score with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from tvtfast.data import IMAGENET_NORMALIZATION, FrozenBatch


def first_images(path: Path, count: int) -> FrozenBatch:
    """The first training images, resized to 224 pixels bilinearly."""
    with np.load(path, allow_pickle=False) as archive:
        pixels = torch.from_numpy(archive["x_train"][:count]).permute(0, 3, 1, 2).float() / 255
    mean, std = (
        torch.tensor(values).view(3, 1, 1)
        for values in (IMAGENET_NORMALIZATION.mean, IMAGENET_NORMALIZATION.std)
    )
    images = torch.nn.functional.interpolate(
        (pixels - mean) / std, size=(224, 224), mode="bilinear", align_corners=False
    )
    return FrozenBatch.from_tensors(
        images,
        None,
        normalization=IMAGENET_NORMALIZATION,
        name=f"{path.stem}-first-{count}",
        dataset=path.stem,
        split="train",
        num_classes=100,
    )
