"""Distances and angles between samples from their Gram matrix, in plain PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from .definition import Arguments

COINCIDENCE = 8
"""Samples count as one where their squared distance is within this many eps / 2 of the sum of
their squared lengths: less than the rounding of three entries of the Gram matrix."""


def run(call: Arguments) -> Tensor:
    """The definition of the operator."""
    return forward(*call)


def squared_distances(gram: Tensor) -> Tensor:
    """``G_ii + G_jj - 2 G_ij`` ``[*, B, B]``; exactly 0 where samples coincide."""
    squares = gram.diagonal(dim1=-2, dim2=-1)
    scale = squares.unsqueeze(-1) + squares.unsqueeze(-2)
    distances = scale - 2 * gram
    floor = scale * (COINCIDENCE * torch.finfo(gram.dtype).eps / 2)
    return torch.where(distances <= floor, 0.0, distances)


def forward(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of all angles.

    Args:
        student: Gram matrices ``[K, B, B]``.
        teacher: ``[T, B, B]``, matrix ``k`` of the student meets ``k % T``.

    Returns:
        ``[K]``.
    """
    repeats = student.shape[0] // max(teacher.shape[0], 1)
    difference = _angles(teacher) - _angles(student).unflatten(0, (repeats, teacher.shape[0]))
    return difference.square().mean(dim=(-3, -2, -1)).flatten()


def _angles(gram: Tensor) -> Tensor:
    """Cosines ``[*, i, j, k]`` of the angle at sample i between samples j and k; 0 where one of
    them is sample i."""
    squared = squared_distances(gram)
    apart = squared != 0
    inverse = torch.where(apart, torch.where(apart, squared, 1.0).rsqrt(), 0.0)
    squares = gram.diagonal(dim1=-2, dim2=-1)[..., None, None]
    products = gram.unsqueeze(-3) - gram.unsqueeze(-1) - gram.unsqueeze(-2) + squares
    return products * inverse.unsqueeze(-1) * inverse.unsqueeze(-2)
