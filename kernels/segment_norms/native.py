"""Norms of many tensors in one C++ call over a table of addresses."""

from __future__ import annotations

from array import array

import torch
from torch import Tensor

from ..backend.native import DTYPE_CODES, extension, missing, tensor_reasons
from ..layout import is_dense
from .definition import Arguments
from .table import SegmentTable, kinds_of


def reasons(call: Arguments) -> tuple[str, ...]:
    """Why the extension cannot read these tensors."""
    kinds = kinds_of(call.tensors)
    found = (reason for tensor in kinds for reason in tensor_reasons("a tensor", tensor))
    return (*missing(), *found)


def run(call: Arguments) -> Tensor:
    """L2 norm of each tensor ``[n]`` fp32, summed in fp64 over fixed chunks."""
    tensors = call.tensors
    if isinstance(tensors, SegmentTable):
        tensors.check()
        return _norms(tensors.addresses, tensors.lengths, tensors.dtypes)
    dense = [t if is_dense(t) else t.contiguous() for t in tensors]
    return _norms(
        array("q", [t.data_ptr() for t in dense]),
        array("q", [t.numel() for t in dense]),
        array("q", [DTYPE_CODES[t.dtype] for t in dense]),
    )


def _norms(*columns: Tensor | array[int]) -> Tensor:
    """Of tensors by address, length and code of the dtype; an array is made in half the time."""
    result = torch.empty(len(columns[0]))
    extension().segment_norms(
        *(c.data_ptr() if isinstance(c, Tensor) else c.buffer_info()[0] for c in columns),
        len(result),
        result.data_ptr(),
        torch.get_num_threads(),
    )
    return result
