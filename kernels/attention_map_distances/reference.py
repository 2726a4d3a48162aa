"""Distances of features that differ in width, one by one in plain PyTorch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..attention_map_distance.reference import distance
from .definition import Arguments


def run(call: Arguments) -> Tensor:
    """The definition of the operator."""
    return distances(*call)


def distances(xs: Sequence[Tensor], teacher: Tensor, size: Sequence[int]) -> Tensor:
    """Distance ``[K, B]`` of features ``[B, H, W, C_k]``."""
    return torch.stack([distance(x, teacher, size)[0] for x in xs])
