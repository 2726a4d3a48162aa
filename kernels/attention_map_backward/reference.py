"""The gradient of attention maps in plain PyTorch."""

from __future__ import annotations

import torch
from torch import Tensor

from ..attention_map.reference import NORM_FLOOR, resize
from ..features.layout import empty_gradient
from .definition import Arguments


def run(call: Arguments) -> Tensor:
    """Gradient of the features.

    With s the mean of squares, n its norm and a = s / max(n, floor):
    ``ds = (g - a (g . a)) / n`` above the floor and ``g / floor`` at it; ``dx = (2 / C) x ds``,
    through the adjoint of the resize.
    """
    x, map, norm, grad_map, size = call
    wide = x.to(map.dtype)
    resized = resize(wide, size)
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
