"""Calls of statistics of attention weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from bench.calls.tensors import Arguments, rand, teacher_maps
from tvtfast.kernels.self_attention_stats.definition import STATISTICS


def self_attention_stats(
    dtype: torch.dtype, images: int, heads: int, tokens: int, dim: int, statistics: Sequence[str]
) -> Arguments:
    q, k = rand(dtype, 2, images, heads, tokens, dim).unbind(0)
    return q, k, teacher_maps(images, 1).expand(-1, tokens), dim**-0.5, list(statistics)


SHAPES = {
    "self_attention_stats": (
        self_attention_stats,
        (
            (1, 1, 1, 1, STATISTICS),
            (1, 3, 50, 64, STATISTICS),
            (32, 3, 197, 64, STATISTICS),
            (32, 3, 197, 64, ("class_row",)),
            (2, 6, 577, 64, STATISTICS),
        ),
    ),
}
