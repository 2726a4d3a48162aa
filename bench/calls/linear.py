"""Calls of linear layers."""

from __future__ import annotations

import torch

from bench.calls.tensors import Arguments, rand


def linear(dtype: torch.dtype, rows: int, inputs: int, outputs: int, around: str) -> Arguments:
    """``around``: nothing, ``norm and GELU`` before and behind, or the ``residual`` added."""
    x, out = rand(dtype, rows, inputs), torch.empty(rows, outputs, dtype=dtype)
    weight, bias = rand(dtype, outputs, inputs, scale=inputs**-0.5), rand(dtype, outputs)
    residual = rand(dtype, rows, outputs) if around == "residual" else None
    normed = around == "norm and GELU"
    return out, x, weight, bias, residual, 1e-6 if normed else None, normed


SHAPES = {
    "linear": (
        linear,
        (
            (1, 1, 1, "nothing"),
            (1, 192, 1000, "nothing"),
            (1, 192, 768, "norm and GELU"),
            (4, 192, 1000, "nothing"),
            (8, 768, 192, "residual"),
            (16, 384, 1000, "nothing"),
            (50, 192, 576, "norm and GELU"),
            (1970, 240, 960, "norm and GELU"),
            (1970, 960, 240, "residual"),
            (3152, 384, 1536, "nothing"),
        ),
    ),
}
