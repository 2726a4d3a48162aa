"""Public operator of norms of many tensors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .. import checks, dispatch, transforms
from ..calls import execute
from ..layout import is_dense, tensor_kinds
from . import reference
from .definition import Arguments
from .table import SegmentTable

__all__ = ["SegmentTable", "pack_segments", "segment_norms"]


def pack_segments(tensors: Sequence[Tensor]) -> SegmentTable:
    """Pack the addresses of dense tensors once, for repeated :func:`segment_norms` calls.

    Args:
        tensors: Tensors on one device, of any shapes and listed dtypes. Each must fill one run of
            memory, in any order of dimensions.

    Returns:
        A table that keeps the tensors alive and sees their values change in place. A tensor that
        moves to other memory (``parameter.data = ...``) makes the next call raise ``RuntimeError``.

    Raises:
        TypeError: A tensor is not floating-point of a listed dtype.
        ValueError: Tensors are on several devices, or one is not dense.
    """
    _check_segments("pack_segments", tensors)
    for index, tensor in enumerate(tensors):
        if not is_dense(tensor):
            raise ValueError(
                f"pack_segments: tensor {index} of shape {tuple(tensor.shape)} has strides"
                f" {tensor.stride()}, which leave gaps; pass a contiguous tensor, or the list"
                " itself to segment_norms"
            )
    return SegmentTable(tensors)


def segment_norms(
    tensors: Sequence[Tensor] | SegmentTable, *, backend: str | None = None
) -> Tensor:
    """L2 norm of every tensor of a list, such as all layers of all candidates.

    ``norms[k] = sqrt(sum x_k^2)``

    Args:
        tensors: Tensors on one device, of any shapes and of mixed dtypes among fp32, fp16, bf16 and
            fp64, or a table of :func:`pack_segments`. Empty tensors have norm 0.
        backend: ``auto``, or a name of :func:`~tvtfast.kernels.backends`.

    Returns:
        ``[n]``: fp64 if any tensor is fp64, else fp32.

    Differentiable any number of times: ``d norms[k] / d x_k = x_k / norms[k]``, and 0 where the
    norm is 0. The gradient is plain PyTorch and has the dtype of its tensor. Parameters require
    gradients, so call this under ``torch.no_grad()`` where only values are wanted.

    Squares are summed in fp64: nothing overflows. The native backend sums fixed chunks and returns
    the same bits whatever the number of threads, the triton backend on every run. Error bound:
    :func:`tvtfast.kernels.segment_norms.definition.tolerance`.

    Raises:
        TypeError: A tensor is not floating-point of a listed dtype.
        ValueError: Tensors are on several devices.
        RuntimeError: A tensor of a table has moved since it was packed.
        BackendError: The backend asked for by name cannot serve the call.
    """
    if len(tensors) == 0:
        return torch.empty(0)
    table = tensors if isinstance(tensors, SegmentTable) else None
    kinds = _check_segments("segment_norms", tensors) if table is None else ()
    if transforms.takes_reference("segment_norms", backend):
        return reference.run(Arguments(tuple(tensors)))
    norms: Tensor
    if table is None:
        norms = execute("segment_norms", Arguments(tensors), backend, *kinds)
    elif transforms.records_gradients(*table.tensors):
        table.check()
        norms = execute("segment_norms", Arguments(table.tensors), backend, *table.tensors)
    else:
        norms = dispatch.run("segment_norms", Arguments(table), backend)
    return norms


def _check_segments(function: str, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Refuse what the operators do not know; returns one tensor of every kind."""
    for index, tensor in enumerate(tensors):
        if not isinstance(tensor, Tensor):
            checks.check_dtype(function, f"tensor {index}", tensor)
    kinds = tensor_kinds(tensors)
    for tensor in kinds:
        checks.check_dtype(function, "a tensor", tensor)
    devices = sorted({str(tensor.device) for tensor in kinds})
    if len(devices) > 1:
        raise ValueError(
            f"{function}: tensors are on {', '.join(devices)}; pass those of one device at a time"
        )
    return kinds
