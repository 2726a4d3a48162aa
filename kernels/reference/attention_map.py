"""Attention maps in plain PyTorch; differentiable, traceable and open to every transform."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from .._layout import empty_gradient
from ..dtypes import accumulation_dtype

NORM_FLOOR = 1e-12


def forward(x: Tensor, size: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Map and norm of every image.

    Args:
        x: Features ``[B, H, W, C]``, any strides.
        size: Height and width ``(H*, W*)`` of the map.

    Returns:
        Map ``[B, H* W*]`` and norm of the channel means of squares ``[B]``, before its floor.
    """
    resized = _resize(x.to(accumulation_dtype(x.dtype)), size)
    mean_square = resized.square().mean(dim=-1).flatten(1)
    norm = torch.linalg.vector_norm(mean_square, dim=-1, dtype=torch.float64)
    values = mean_square / norm.clamp_min(NORM_FLOOR).unsqueeze(-1)
    return values.to(resized.dtype).contiguous(), norm.to(resized.dtype)


def distance(x: Tensor, teacher: Tensor, size: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Distance ``[B]``, map and norm; image ``b`` meets row ``b % T`` of the teacher ``[T, N]``."""
    values, norm = forward(x, size)
    repeats = x.shape[0] // max(teacher.shape[0], 1)
    difference = teacher - values.unflatten(0, (repeats, teacher.shape[0]))
    return difference.square().mean(dim=-1).flatten(), values, norm


def distances(xs: Sequence[Tensor], teacher: Tensor, size: Sequence[int]) -> Tensor:
    """Distance ``[K, B]`` of features ``[B, H, W, C_k]``."""
    return torch.stack([distance(x, teacher, size)[0] for x in xs])


def backward(x: Tensor, map: Tensor, norm: Tensor, grad_map: Tensor, size: Sequence[int]) -> Tensor:
    """Gradient of the features.

    With s the mean of squares, n its norm and a = s / max(n, floor):
    ``ds = (g - a (g . a)) / n`` above the floor and ``g / floor`` at it; ``dx = (2 / C) x ds``,
    through the adjoint of the resize.
    """
    wide = x.to(map.dtype)
    resized = _resize(wide, size)
    projection = (grad_map * map).sum(dim=-1, keepdim=True) * (norm > NORM_FLOOR).unsqueeze(-1)
    grad_mean = (grad_map - map * projection) / norm.clamp_min(NORM_FLOOR).unsqueeze(-1)
    scale = grad_mean.unflatten(1, tuple(size)).unsqueeze(-1) * (2 / x.shape[-1])
    gradient = resized * scale
    if resized is not wide:
        images, height, width, channels = x.shape
        gradient = torch.ops.aten.upsample_bilinear2d_backward(
            gradient.permute(0, 3, 1, 2).contiguous(),
            list(size),
            [images, channels, height, width],
            False,
        ).permute(0, 2, 3, 1)
    return empty_gradient(x).copy_(gradient)


def _resize(x: Tensor, size: Sequence[int]) -> Tensor:
    if tuple(x.shape[1:3]) == tuple(size):
        return x
    planes = interpolate(
        x.permute(0, 3, 1, 2), size=list(size), mode="bilinear", align_corners=False
    )
    return planes.permute(0, 2, 3, 1)
