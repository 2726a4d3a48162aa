"""Multi-head attention in C++: scores of a few queries at a time, in cache."""

from __future__ import annotations

import torch
from torch import Tensor

from ..backend.native import (
    DTYPE_CODES,
    INSTRUCTION_SETS,
    extension,
    instruction_sets,
    product_reasons,
)
from .definition import Arguments


def reasons(call: Arguments) -> tuple[str, ...]:
    """Why the extension cannot, or should not, serve this call."""
    return product_reasons("qkv", call.qkv)


def run(call: Arguments, *, instruction_set: str | None = None) -> Tensor:
    """Attention ``[B, T, H D]`` of ``[B, T, 3 H D]``, by the fastest kernel or the named one."""
    qkv, num_heads, scale = call
    name = instruction_set or instruction_sets()[0]
    qkv = qkv if qkv.stride(2) == 1 else qkv.contiguous()
    images, tokens, width = qkv.shape
    result = qkv.new_empty(images, tokens, width // 3)
    extension().packed_attention(
        qkv.data_ptr(),
        DTYPE_CODES[qkv.dtype],
        (images, tokens, num_heads, width // (3 * num_heads)),
        qkv.stride()[:2],
        scale,
        result.data_ptr(),
        INSTRUCTION_SETS.index(name),
        torch.get_num_threads(),
    )
    return result
