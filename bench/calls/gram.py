"""Calls of inner products of rows."""

from __future__ import annotations

import torch

from bench.calls.tensors import Arguments, rand


def gram(
    dtype: torch.dtype, matrices: int, rows: int, length: int, kind: str = "own", others: int = 0
) -> Arguments:
    if kind == "columns":
        return rand(dtype, matrices, length, rows).mT, None, False
    x = rand(dtype, matrices, rows, length)
    return x, rand(dtype, matrices, others, length) if others else None, kind == "relative"


SHAPES = {
    "gram": (
        gram,
        (
            (1, 1, 1),
            (1, 8, 64),
            (1, 64, 3072),
            (1, 64, 37632),
            (1, 64, 37632, "relative"),
            (64, 192, 196),
            (64, 192, 196, "own", 64),
            (64, 192, 196, "columns"),
            (1, 1024, 192),
        ),
    ),
}
