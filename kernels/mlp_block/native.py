"""An MLP block in C++: its hidden layer stays in the cache."""

from __future__ import annotations

import torch

from ..backend.native import (
    DTYPE_CODES,
    INSTRUCTION_SETS,
    adjacent,
    extension,
    instruction_sets,
    packing_reasons,
    product_reasons,
)
from .definition import Arguments


def reasons(call: Arguments) -> tuple[str, ...]:
    """Why the extension cannot, or should not, serve this call."""
    return product_reasons("x", call.x) + packing_reasons(call.x, call.w1, True)


def run(call: Arguments, *, instruction_set: str | None = None) -> None:
    """Fill ``out`` ``[K, M, C]`` from rows ``[M, C]``, by the fastest kernel or the named one."""
    x, w1, b1, w2, b2, hidden, eps, out = call
    name = instruction_set or instruction_sets()[0]
    x, w1, w2 = adjacent(x), adjacent(w1), adjacent(w2)
    b1, b2 = (None if bias is None else bias.contiguous() for bias in (b1, b2))
    extension().mlp_block(
        tuple(0 if t is None else t.data_ptr() for t in (x, w1, b1, w2, b2, out)),
        DTYPE_CODES[x.dtype],
        tuple(x.shape),
        (x.stride(0), w1.stride(0), w2.stride(0)),
        list(hidden),
        eps,
        INSTRUCTION_SETS.index(name),
        torch.get_num_threads(),
    )
