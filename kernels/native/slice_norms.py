"""Norms of leading blocks of a matrix in one C++ read of it."""

from __future__ import annotations

import torch
from torch import Tensor

from ._extension import DTYPE_CODES, extension, missing, tensor_reasons


def reasons(weight: Tensor, sizes: Tensor) -> tuple[str, ...]:
    """Why the extension cannot read this matrix."""
    return missing() + tensor_reasons("weight", weight)


def norms(weight: Tensor, sizes: Tensor) -> Tensor:
    """``||W[:o, :i]||`` for every row ``(o, i)`` of ``sizes`` ``[n, 2]``; ``[n]`` fp32."""
    weight = weight if weight.stride(1) == 1 else weight.contiguous()
    sizes = sizes.contiguous()
    result = torch.empty(sizes.shape[0])
    extension().slice_norms(
        weight.data_ptr(),
        DTYPE_CODES[weight.dtype],
        weight.stride(0),
        sizes.data_ptr(),
        sizes.shape[0],
        result.data_ptr(),
        torch.get_num_threads(),
    )
    return result
