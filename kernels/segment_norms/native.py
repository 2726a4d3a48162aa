"""Norms of many tensors in one C++ call over a table of addresses."""

from __future__ import annotations

import torch
from torch import Tensor

from ..backend.native import extension, missing, tensor_reasons
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
        table = tensors
        table.check()
    else:
        table = SegmentTable([t if is_dense(t) else t.contiguous() for t in tensors])
    result = torch.empty(len(table))
    extension().segment_norms(
        table.addresses.data_ptr(),
        table.lengths.data_ptr(),
        table.dtypes.data_ptr(),
        len(table),
        result.data_ptr(),
        torch.get_num_threads(),
    )
    return result
