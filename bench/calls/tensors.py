"""Tensors that calls are made of."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

Arguments = tuple[Any, ...]
"""Of an operator's schema, in their order."""


def rand(dtype: torch.dtype, *shape: int, scale: float = 1.0) -> Tensor:
    return (scale * torch.randn(shape)).to(dtype)


def features(
    dtype: torch.dtype, images: int, side: int, channels: int, layout: str = "tokens"
) -> Tensor:
    if layout == "tokens":
        return rand(dtype, images, side, side, channels)
    return rand(dtype, images, channels, side, side).permute(0, 2, 3, 1)


def teacher_maps(images: int, size: int) -> Tensor:
    return torch.nn.functional.normalize(torch.rand(images, size * size))
