"""Attention and its tangent in C++: scores of a few queries at a time, or no scores at all.

Where scores are so small that ``e^s = 1 + s + s^2 / 2`` to 2^-22, as they are in an untrained
network without norms, what a query needs of all keys are sums over monomials of second order: the
cost is that of ``N D^3 / 2`` products instead of ``N^2 D``. Bounds on the lengths of queries and
keys decide, per head.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..backend.native import DTYPE_CODES, extension, missing, tensor_reasons
from ..layout import empty_tokens_first
from .definition import Arguments


def reasons(call: Arguments) -> tuple[str, ...]:
    """Why the extension cannot read ``q``; the other tensors are checked to be like it."""
    return missing() + tensor_reasons("q", call.q)


def run(call: Arguments) -> tuple[Tensor, Tensor]:
    """Attention and its tangent, ``[B, H, N, D]`` as views of ``[B, N, H, D]``."""
    q, k, v, dq, dk, dv, scale = call
    operands = [x if x.stride(3) == 1 else x.contiguous() for x in (q, k, v, dq, dk, dv)]
    out, tangent = empty_tokens_first(q), empty_tokens_first(q)
    extension().attention_jvp(
        [x.data_ptr() for x in operands],
        [x.stride() for x in operands],
        DTYPE_CODES[q.dtype],
        q.shape,
        scale,
        out.data_ptr(),
        tangent.data_ptr(),
        torch.get_num_threads(),
    )
    return out, tangent
