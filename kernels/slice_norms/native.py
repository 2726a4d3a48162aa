"""Norms of leading blocks of a matrix in one C++ read of it."""

from __future__ import annotations

import torch
from torch import Tensor

from ..backend.native import DTYPE_CODES, extension, missing, tensor_reasons
from .definition import Prepared


def reasons(call: Prepared) -> tuple[str, ...]:
    """Why the extension cannot read this matrix."""
    return missing() + tensor_reasons("weight", call.weight)


def run(call: Prepared) -> Tensor:
    """``||W[:o, :i]||`` for every row ``(o, i)`` of the table; ``[n]`` fp32."""
    weight, table = call
    weight = weight if weight.stride(1) == 1 else weight.contiguous()
    result = torch.empty(len(table))
    extension().slice_norms(
        weight.data_ptr(),
        DTYPE_CODES[weight.dtype],
        weight.stride(0),
        table.sizes.data_ptr(),
        len(table),
        table.rows,
        table.columns,
        result.data_ptr(),
        torch.get_num_threads(),
    )
    return result
