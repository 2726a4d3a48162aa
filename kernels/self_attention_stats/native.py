"""Statistics of self-attention in C++: weights of a few queries at a time, in cache."""

from __future__ import annotations

import torch
from torch import Tensor

from ..backend.native import DTYPE_CODES, extension, missing, tensor_reasons
from .definition import Arguments


def reasons(call: Arguments) -> tuple[str, ...]:
    """Why the extension cannot read ``q``; the other tensors are checked to be like it."""
    return missing() + tensor_reasons("q", call.q)


def run(call: Arguments) -> list[Tensor]:
    """The statistics asked for, in their order, then the teacher products."""
    q, k, teacher, scale, statistics = call
    q, k = (t if t.stride(3) == 1 else t.contiguous() for t in (q, k))
    images, heads, tokens, _ = q.shape
    results = {
        name: torch.empty(images, *((tokens,) if name == "head_mean" else (heads,)), tokens)
        for name in (*statistics, *(() if teacher is None else ("teacher_products",)))
    }
    if heads == 0 and "head_mean" in results:
        results["head_mean"].fill_(torch.nan)
    if teacher is not None:
        teacher = teacher.to(torch.float32).contiguous()
    addresses = {name: result.data_ptr() for name, result in results.items()}
    if teacher is not None:
        addresses["teacher"] = teacher.data_ptr()
    extension().self_attention_stats(
        q.data_ptr(),
        k.data_ptr(),
        DTYPE_CODES[q.dtype],
        q.shape,
        q.stride(),
        k.stride(),
        scale,
        [addresses.get(name, 0) for name in _OUTPUTS],
        torch.get_num_threads(),
    )
    return list(results.values())


_OUTPUTS = (
    *("class_row", "column_sums", "row_entropy", "head_mean"),
    *("teacher", "teacher_products"),
)
"""Fields of ``tvt::AttentionOutputs`` in ``csrc/self_attention_stats.h``."""
