"""The distance of attention maps as others write it, and the shapes real models give it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

WIDTHS = {"ViT-Ti": 192, "ViT-S": 384}
GRIDS = {50: 7, 197: 14, 577: 24}
"""Side of the grid by number of tokens, with the class token: patches of 32 or 16 pixels of images
of 224, and of 16 of 384."""


def published_distance(x: Tensor, teacher: Tensor) -> Tensor:
    """The form of the published code: pow, mean, normalize; ``x`` ``[B, C, H, W]``."""
    x = x.to(teacher.dtype)
    return (teacher - normalize(x.pow(2).mean(1).view(x.size(0), -1))).pow(2).mean(-1)


def eager_distance(x: Tensor, teacher: Tensor) -> Tensor:
    """The best eager form found: one fused norm over channels, no squared copy."""
    squares = torch.linalg.vector_norm(x, dim=1, dtype=teacher.dtype).flatten(1).square()
    return (teacher - normalize(squares)).square().mean(-1)


def as_features(tokens: Tensor, grid: int) -> Tensor:
    """Tokens ``[B, N, C]`` as features ``[B, C, H, W]``, without a copy."""
    return tokens.transpose(1, 2).unflatten(2, (grid, grid))


def random_teacher(images: int, positions: int, device: str) -> Tensor:
    return normalize(torch.rand(images, positions, device=device))
