"""Calls of attention blocks."""

from __future__ import annotations

import torch

from bench.calls.tensors import Arguments, rand


def attention_block(
    dtype: torch.dtype, images: int, tokens: int, width: int, dim: int, *heads: int
) -> Arguments:
    inner = heads[-1] * dim
    x = rand(dtype, images, tokens, width)
    w_qkv = rand(dtype, 3 * inner, width, scale=width**-0.5)
    w_proj = rand(dtype, width, inner, scale=inner**-0.5)
    out = x.new_empty((len(heads), *x.shape))
    return x, w_qkv, None, w_proj, None, list(heads), 1e-5, out


SHAPES = {
    "attention_block": (
        attention_block,
        (
            (1, 1, 8, 8, 1),
            (1, 50, 192, 64, 3),
            (8, 197, 192, 64, 3),
            (8, 197, 216, 64, 3, 4),
            (2, 577, 384, 64, 6),
        ),
    ),
}
