"""The gradient of statistics of self-attention, a few heads at a time.

With ``G = dL/dP`` and ``P = softmax(S)`` of ``S = scale q k^T``, ``dL/dS = P (G - rowsum(P G))``.
What a statistic adds to ``G`` is its gradient, spread over the weights that it is a sum of; an
entropy adds ``-g log P``, as constants of a row drop out.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..dtypes import accumulation_dtype

CHUNK_ELEMENTS = 1 << 19
"""Attention weights that are formed at a time: what stays in a cache."""


def attention_gradients(
    q: Tensor,
    k: Tensor,
    teacher: Tensor | None,
    scale: float,
    statistics: Sequence[str],
    grads: Sequence[Tensor],
) -> list[Tensor]:
    """Gradients of queries and keys ``[B, H, N, D]``, and of a teacher ``[B, N]``.

    Args:
        grads: Gradients of the statistics in their order, then of the teacher products.

    A handful of tensors holds the weights of :data:`CHUNK_ELEMENTS` pairs of tokens, or those of
    one head.
    """
    images, heads, tokens, _ = q.shape
    names = [*statistics, *(() if teacher is None else ("teacher_products",))]
    given = dict(zip(names, grads, strict=True))
    count = images * heads
    chunk = max(1, CHUNK_ELEMENTS // max(tokens * tokens, 1))
    image_of = torch.arange(images, device=q.device).repeat_interleave(heads)
    flat = {
        name: grad if name == "head_mean" else grad.flatten(0, 1) for name, grad in given.items()
    }
    flat_q, flat_k = q.flatten(0, 1), k.flatten(0, 1)
    with torch.autocast(q.device.type, enabled=False):
        parts = []
        for begin in range(0, max(count, 1), chunk):
            some = slice(begin, begin + chunk)
            of = image_of[some]
            part = {
                name: grad[of] / heads if name == "head_mean" else grad[some]
                for name, grad in flat.items()
            }
            rows = None if teacher is None else teacher[of]
            parts.append(_chunk_gradients(flat_q[some], flat_k[some], rows, scale, part))
    found = [torch.cat(values) for values in zip(*parts, strict=True)]
    of_queries, of_keys = (x.view(q.shape).to(q.dtype) for x in found[:2])
    of_teacher = (x.view(images, heads, tokens).sum(1) for x in found[2:])
    return [of_queries, of_keys, *of_teacher]


def _chunk_gradients(
    q: Tensor, k: Tensor, teacher: Tensor | None, scale: float, grads: dict[str, Tensor]
) -> list[Tensor]:
    """Gradients of queries and keys ``[K, N, D]`` of some heads, and of the teacher of each."""
    dtype = accumulation_dtype(q.dtype)
    q, k = q.to(dtype), k.to(dtype)
    logarithms = ((q * scale) @ k.mT).log_softmax(dim=-1)
    weights = logarithms.exp()
    of_weights = torch.zeros_like(weights)
    if "class_row" in grads:
        pad = (0, 0, 0, max(weights.shape[-2] - 1, 0))
        first = grads["class_row"].unsqueeze(-2)
        of_weights = of_weights + torch.nn.functional.pad(first, pad)
    if "column_sums" in grads:
        of_weights = of_weights + grads["column_sums"].unsqueeze(-2)
    if "row_entropy" in grads:
        of_weights = of_weights - grads["row_entropy"].unsqueeze(-1) * logarithms
    if "head_mean" in grads:
        of_weights = of_weights + grads["head_mean"]
    of_teacher = []
    if teacher is not None:
        products = grads["teacher_products"].unsqueeze(-1)
        of_weights = of_weights + products * teacher.unsqueeze(-2)
        of_teacher.append((products * weights).sum(dim=-2))
    shares = weights * of_weights
    of_scores = (shares - weights * shares.sum(dim=-1, keepdim=True)) * scale
    return [of_scores @ k, of_scores.mT @ q, *of_teacher]
