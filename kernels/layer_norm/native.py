"""Layer normalisation in C++."""

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
from .definition import Arguments


def reasons(call: Arguments) -> tuple[str, ...]:
    """Why the extension cannot serve this call."""
    return vector_reasons() + tensor_reasons("x", call.x)


def run(call: Arguments, *, instruction_set: str | None = None) -> Tensor:
    """Rows ``[N, C]``, each normalised, by the fastest kernel or the named one."""
    x, eps = call
    name = instruction_set or instruction_sets()[0]
    x = x if x.stride(1) == 1 else x.contiguous()
    result = x.new_empty(x.shape)
    extension().layer_norm(
        x.data_ptr(),
        DTYPE_CODES[x.dtype],
        x.shape,
        x.stride(0),
        eps,
        result.data_ptr(),
        INSTRUCTION_SETS.index(name),
        torch.get_num_threads(),
    )
    return result
