"""Calls of indexed random numbers."""

from __future__ import annotations

import torch

from bench.calls.tensors import Arguments


def indexed_normal(dtype: torch.dtype, *shape: int) -> Arguments:
    return torch.empty(shape, dtype=dtype), 7, 0.0, 0.02


def indexed_uniform(dtype: torch.dtype, *shape: int) -> Arguments:
    return torch.empty(shape, dtype=dtype), 7, -1.0, 1.0


SHAPES = {
    "indexed_normal_": (indexed_normal, ((1,), (192, 192), (768, 3072))),
    "indexed_uniform_": (indexed_uniform, ((1,), (192, 192), (768, 3072))),
}
