"""Inner products of rows in C++: products with themselves are half of the work."""

from __future__ import annotations

import torch
from torch import Tensor

from ..backend.native import (
    DTYPE_CODES,
    INSTRUCTION_SETS,
    extension,
    instruction_sets,
    tensor_reasons,
    vector_reasons,
)
from ..layout import elsewhere
from .definition import Arguments


def reasons(call: Arguments) -> tuple[str, ...]:
    """Why the extension cannot serve this call."""
    return vector_reasons() + tensor_reasons("x", call.x) + elsewhere(call.x, call)


def run(call: Arguments, *, instruction_set: str | None = None) -> Tensor:
    """Inner products ``[K, n, m]``, by the fastest kernel or the named one."""
    name = instruction_set or instruction_sets()[0]
    x = _adjacent(call.x)
    y = x if call.y is None else _adjacent(call.y)
    out = x.new_empty(*x.shape[:2], y.shape[1], dtype=torch.float32)
    extension().gram(
        x.data_ptr(),
        0 if call.y is None else y.data_ptr(),
        out.data_ptr(),
        DTYPE_CODES[x.dtype],
        x.shape,
        x.stride()[:2],
        y.shape[:2],
        y.stride()[:2],
        call.relative,
        INSTRUCTION_SETS.index(name),
        torch.get_num_threads(),
    )
    return out


def _adjacent(rows: Tensor) -> Tensor:
    return rows if rows.stride(2) == 1 else rows.contiguous()
