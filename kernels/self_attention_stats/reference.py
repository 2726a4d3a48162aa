"""Statistics of self-attention in plain PyTorch, a few images at a time."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..dtypes import accumulation_dtype
from .definition import Arguments

CHUNK_ELEMENTS = 1 << 19
"""Attention weights that are formed at a time: what stays in a cache."""


def run(call: Arguments) -> list[Tensor]:
    """The statistics asked for, in their order, then the teacher products where there is a teacher.

    Nothing is larger than the weights of :data:`CHUNK_ELEMENTS` pairs of tokens, or of one image.
    """
    q, k, teacher, scale, statistics = call
    images, heads, tokens, _ = q.shape
    chunk = max(1, CHUNK_ELEMENTS // max(heads * tokens * tokens, 1))
    with torch.autocast(q.device.type, enabled=False):
        chunks = [
            _chunk_stats(
                q[begin : begin + chunk],
                k[begin : begin + chunk],
                None if teacher is None else teacher[begin : begin + chunk],
                scale,
                statistics,
            )
            for begin in range(0, max(images, 1), chunk)
        ]
    return [torch.cat(parts) for parts in zip(*chunks, strict=True)]


def _chunk_stats(
    q: Tensor, k: Tensor, teacher: Tensor | None, scale: float, statistics: Sequence[str]
) -> list[Tensor]:
    dtype = accumulation_dtype(q.dtype)
    scores = (q.to(dtype) * scale) @ k.to(dtype).transpose(-2, -1)
    if scores.shape[-1]:
        scores = scores - scores.detach().amax(dim=-1, keepdim=True)
    weights = scores.exp()
    total = weights.sum(dim=-1, keepdim=True)
    weights = weights / total
    formulas = {
        "class_row": lambda: weights[:, :, :1].flatten(2).contiguous(),
        "column_sums": lambda: weights.sum(dim=-2),
        # Both terms are at least 0: the largest score is 0.
        "row_entropy": lambda: total.log().squeeze(-1) - (weights * scores).sum(dim=-1),
        "head_mean": lambda: weights.mean(dim=1),
    }
    results = [formulas[name]() for name in statistics]
    if teacher is not None:
        results.append((weights @ teacher[:, None, :, None]).squeeze(-1))
    return results
