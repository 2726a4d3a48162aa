"""Multi-head attention by PyTorch's own fused kernels, and as the formula, for transforms."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from ..dtypes import accumulation_dtype
from .definition import Arguments


def run(call: Arguments) -> Tensor:
    """The definition of the operator."""
    return forward(*call)


def forward(qkv: Tensor, num_heads: int, scale: float) -> Tensor:
    """Attention ``[B, T, H D]`` of packed queries, keys and values ``[B, T, 3 H D]``."""
    q, k, v = _heads(qkv, num_heads)
    with torch.autocast(qkv.device.type, enabled=False):
        mixed = scaled_dot_product_attention(q, k, v, scale=scale)
    return _merged(mixed)


def formula(qkv: Tensor, num_heads: int, scale: float) -> Tensor:
    """The same in plain operations: the fused kernels have no tangents."""
    q, k, v = _heads(qkv.to(accumulation_dtype(qkv.dtype)), num_heads)
    with torch.autocast(qkv.device.type, enabled=False):
        mixed = ((q @ k.transpose(-2, -1)) * scale).softmax(dim=-1) @ v
    return _merged(mixed).to(qkv.dtype)


def _heads(qkv: Tensor, num_heads: int) -> tuple[Tensor, ...]:
    return qkv.unflatten(-1, (3, num_heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)


def _merged(mixed: Tensor) -> Tensor:
    return mixed.transpose(1, 2).flatten(2).contiguous()
