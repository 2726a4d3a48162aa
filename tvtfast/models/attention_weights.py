"""Statistics of attention weights that exist, or that depend on a bias or a mask."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tvtfast.kernels import SelfAttentionStats

CHUNK_ELEMENTS = 1 << 22
"""Attention weights that are formed at a time."""


def weight_stats(
    weights: Tensor, statistics: Sequence[str], teacher: Tensor | None
) -> SelfAttentionStats:
    """Statistics of weights ``[b, H, N, M]``, with a map ``[b, M]`` over the keys."""
    wide = weights if weights.dtype == torch.float64 else weights.float()
    formulas = {
        "class_row": lambda: wide[:, :, 0],
        "column_sums": lambda: wide.sum(-2),
        "row_entropy": lambda: torch.special.entr(wide).sum(-1),
        "head_mean": lambda: wide.mean(1),
    }
    found = {name: formulas[name]().contiguous() for name in statistics}
    if teacher is not None:
        products = wide @ teacher.to(wide.dtype)[:, None, :, None]
        found["teacher_products"] = products.squeeze(-1)
    return SelfAttentionStats(**found)


def biased_stats(
    q: Tensor,
    k: Tensor,
    scale: float,
    mask: Tensor | None,
    causal: bool,
    statistics: Sequence[str],
    teacher: Tensor | None,
) -> SelfAttentionStats:
    """Statistics of ``softmax(scale q k^T + mask)``, the weights of a few windows at a time.

    Args:
        q, k: ``[b, H, N, D]`` and ``[b, H, M, D]``.
        mask: ``[b, H, N, M]``, added, or True where a query sees a key.
        causal: Whether query i sees the keys up to i alone.
    """
    rows, heads, queries, _ = q.shape
    chunk = max(1, CHUNK_ELEMENTS // max(heads * queries * k.shape[2], 1))
    parts = []
    for begin in range(0, rows, chunk):
        some = slice(begin, begin + chunk)
        weights = _weights(q[some], k[some], scale, None if mask is None else mask[some], causal)
        parts.append(weight_stats(weights, statistics, None if teacher is None else teacher[some]))
    return SelfAttentionStats(
        *(None if values[0] is None else torch.cat(values) for values in zip(*parts, strict=True))
    )


def _weights(q: Tensor, k: Tensor, scale: float, mask: Tensor | None, causal: bool) -> Tensor:
    wide = torch.promote_types(q.dtype, torch.float32)
    with torch.autocast(q.device.type, enabled=False):
        scores = (q.to(wide) * scale) @ k.to(wide).mT
    if causal:
        seen = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).tril()
        scores = scores.masked_fill(~seen, -torch.inf)
    if mask is not None and mask.dtype == torch.bool:
        scores = scores.masked_fill(~mask, -torch.inf)
    elif mask is not None:
        scores = scores + mask
    return scores.softmax(dim=-1)
