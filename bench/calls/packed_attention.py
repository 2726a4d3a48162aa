"""Calls of attention with q, k and v side by side."""

from __future__ import annotations

import torch

from bench.calls.tensors import Arguments, rand


def packed_attention(
    dtype: torch.dtype, images: int, tokens: int, width: int, heads: int
) -> Arguments:
    return rand(dtype, images, tokens, 3 * width), heads, (width // heads) ** -0.5


SHAPES = {
    "packed_attention": (
        packed_attention,
        ((1, 1, 8, 1), (1, 50, 192, 3), (32, 65, 192, 3), (32, 197, 192, 3), (4, 577, 384, 6)),
    ),
}
