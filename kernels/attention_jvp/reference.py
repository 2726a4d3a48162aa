"""Attention and its tangent in plain PyTorch, a few images at a time."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..dtypes import accumulation_dtype
from .definition import Arguments

CHUNK_ELEMENTS = 1 << 19
"""Attention weights that are formed at a time: what stays in a cache."""


def run(call: Arguments) -> tuple[Tensor, Tensor]:
    """Attention and its tangent, ``[B, H, N, D]`` as views of ``[B, N, H, D]``."""
    *operands, scale = call
    images, heads, tokens, _ = call.q.shape
    chunk = max(1, CHUNK_ELEMENTS // max(heads * tokens * tokens, 1))
    with torch.autocast(call.q.device.type, enabled=False):
        chunks = [
            _chunk([x[begin : begin + chunk] for x in operands], scale)
            for begin in range(0, max(images, 1), chunk)
        ]
    out, tangent = (torch.cat(parts) for parts in zip(*chunks, strict=True))
    return out.transpose(1, 2), tangent.transpose(1, 2)


def _chunk(operands: Sequence[Tensor], scale: float) -> tuple[Tensor, Tensor]:
    dtype = accumulation_dtype(operands[0].dtype)
    q, k, v, dq, dk, dv = (x.to(dtype) for x in operands)
    q, dq = q * scale, dq * scale
    weights = (q @ k.mT).softmax(dim=-1)
    changes = weights * (dq @ k.mT + q @ dk.mT)
    out = weights @ v
    tangent = weights @ dv + changes @ v - changes.sum(dim=-1, keepdim=True) * out
    return _tokens_first(out, operands[0].dtype), _tokens_first(tangent, operands[0].dtype)


def _tokens_first(x: Tensor, dtype: torch.dtype) -> Tensor:
    return x.to(dtype).transpose(1, 2).contiguous()
