"""Attention maps in plain PyTorch; differentiable, traceable and open to every transform."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..dtypes import accumulation_dtype
from .definition import Arguments

NORM_FLOOR = 1e-12


def run(call: Arguments) -> tuple[Tensor, Tensor]:
    """Map ``[B, H* W*]`` and norm of the channel means of squares ``[B]``, before its floor, of
    every image."""
    resized = resize(call.x.to(accumulation_dtype(call.x.dtype)), call.size)
    mean_square = resized.square().mean(dim=-1).flatten(1)
    norm = torch.linalg.vector_norm(mean_square, dim=-1, dtype=torch.float64)
    values = mean_square / norm.clamp_min(NORM_FLOOR).unsqueeze(-1)
    return values.to(resized.dtype).contiguous(), norm.to(resized.dtype)


def resize(x: Tensor, size: Sequence[int]) -> Tensor:
    """Features of another height and width; these where they have it."""
    if tuple(x.shape[1:3]) == tuple(size):
        return x
    planes = interpolate(
        x.permute(0, 3, 1, 2), size=list(size), mode="bilinear", align_corners=False
    )
    return planes.permute(0, 2, 3, 1)
