"""Exact GELU in C++."""

from __future__ import annotations

import torch
from torch import Tensor

from ._extension import (
    DTYPE_CODES,
    INSTRUCTION_SETS,
    extension,
    instruction_sets,
    tensor_reasons,
    vector_reasons,
)


def reasons(x: Tensor) -> tuple[str, ...]:
    """Why the extension cannot serve this call."""
    found = vector_reasons() + tensor_reasons("x", x)
    if not x.is_contiguous():
        found += ("x is not contiguous (allowed: contiguous)",)
    return found


def gelu_(x: Tensor, *, instruction_set: str | None = None) -> None:
    """GELU in place, by the fastest kernel or the named one."""
    name = instruction_set or instruction_sets()[0]
    extension().gelu(
        x.data_ptr(),
        DTYPE_CODES[x.dtype],
        x.numel(),
        INSTRUCTION_SETS.index(name),
        torch.get_num_threads(),
    )
