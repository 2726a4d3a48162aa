"""Calls of the tangent of attention."""

from __future__ import annotations

import torch

from bench.calls.tensors import Arguments, rand


def attention_jvp(
    dtype: torch.dtype, images: int, heads: int, tokens: int, dim: int, scale: float = 1.0
) -> Arguments:
    """``scale`` is the size of queries and keys: scores of untrained networks are tiny."""
    q, k, v, dq, dk, dv = rand(torch.float32, 6, images, heads, tokens, dim).to(dtype).unbind(0)
    return scale * q, scale * k, v, dq, dk, dv, dim**-0.5


SHAPES = {
    "attention_jvp": (
        attention_jvp,
        (
            (1, 1, 1, 1),
            (1, 3, 50, 64),
            (8, 3, 197, 64),
            (2, 6, 577, 64),
            (4, 4, 784, 8, 1e-3),
            (4, 4, 784, 8),
        ),
    ),
}
