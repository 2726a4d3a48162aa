"""Calls of MLP blocks."""

from __future__ import annotations

import torch

from bench.calls.tensors import Arguments, rand


def mlp_block(dtype: torch.dtype, rows: int, width: int, *hidden: int) -> Arguments:
    x = rand(dtype, rows, width)
    w1 = rand(dtype, hidden[-1], width, scale=width**-0.5)
    w2 = rand(dtype, width, hidden[-1], scale=hidden[-1] ** -0.5)
    return x, w1, None, w2, None, list(hidden), 1e-5, x.new_empty((len(hidden), *x.shape))


SHAPES = {
    "mlp_block": (
        mlp_block,
        (
            (1, 8, 8),
            (1, 192, 768),
            (50, 192, 768),
            (1576, 192, 768),
            (1576, 216, 756, 864),
            (1154, 384, 1536),
        ),
    ),
}
