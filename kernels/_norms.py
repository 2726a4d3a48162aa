"""Public norm operators."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from . import _checks, _transforms, dispatch, library
from ._segments import SegmentTable, is_dense, tensor_kinds
from ._slices import SliceTable
from .reference import segment_norms as reference_segments
from .reference import slice_norms as reference_slices

_ops = getattr(torch.ops, library.NAMESPACE)


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
        ``[n]``: fp64 if any tensor is fp64, else fp32. Not differentiable: the result has no
        history, except inside ``torch.func`` transforms, where plain PyTorch computes it.

    Squares are summed in fp64: nothing overflows. The native backend sums fixed chunks and returns
    the same bits whatever the number of threads, the triton backend on every run. Error bound:
    :func:`tvtfast.kernels.tolerances.norm_tolerance`.

    Raises:
        TypeError: A tensor is not floating-point of a listed dtype.
        ValueError: Tensors are on several devices.
        RuntimeError: A tensor of a table has moved since it was packed.
        BackendError: The backend asked for by name cannot serve the call.
    """
    if len(tensors) == 0:
        return torch.empty(0)
    kinds = (
        tensors.kinds
        if isinstance(tensors, SegmentTable)
        else _check_segments("segment_norms", tensors)
    )
    if _transforms.takes_reference("segment_norms", backend):
        return reference_segments.norms(tuple(tensors))
    with torch.no_grad():
        if isinstance(tensors, SegmentTable) or _transforms.is_plain(*kinds):
            norms: Tensor = dispatch.run("segment_norms", (tensors,), backend)
        else:
            norms = _ops.segment_norms.default(list(tensors), backend=backend)
    return norms


def pack_slices(sizes: Tensor | Sequence[Sequence[int]]) -> SliceTable:
    """Prepare sizes of slices once, for repeated :func:`slice_norms` calls.

    Args:
        sizes: As in :func:`slice_norms`.

    Returns:
        A table for weights of any shape that holds the slices, and of any device. Its first use on
        a device copies it there; later calls copy nothing and can be captured in a CUDA graph.

    Raises:
        ValueError: ``sizes`` is not ``[n, 2]`` integers on the CPU.
    """
    return SliceTable(_checks.slice_sizes("pack_slices", sizes))


def slice_norms(
    weight: Tensor,
    sizes: Tensor | Sequence[Sequence[int]] | SliceTable,
    *,
    backend: str | None = None,
) -> Tensor:
    """L2 norm of leading blocks of one matrix, from one read of it.

    ``norms[k] = ||W[:o_k, :i_k]||_F``

    Args:
        weight: ``[O, I]``, fp32, fp16, bf16 or fp64, any strides.
        sizes: Integers ``[n, 2]`` on the CPU, one ``(o, i)`` per slice, ``0 <= o <= O``,
            ``0 <= i <= I``, or a table of :func:`pack_slices`.
        backend: ``auto``, or a name of :func:`~tvtfast.kernels.backends`.

    Returns:
        ``[n]``: fp64 for fp64 ``weight``, else fp32; 0 for an empty slice. Not differentiable: the
        result has no history, except inside ``torch.func`` transforms, where plain PyTorch computes
        it.

    Squares are bucketed between the distinct sizes and summed in fp64; each slice is then one
    lookup, so a million slices cost little more than a hundred. All slices begin at the origin, so
    nothing is subtracted and nothing cancels; the native backend returns the same bits whatever the
    number of threads, the triton backend on every run. Error bound:
    :func:`tvtfast.kernels.tolerances.norm_tolerance`.

    Raises:
        TypeError: ``weight`` is not a floating-point tensor of a listed dtype.
        ValueError: ``weight`` is not a matrix, or a size is outside it.
        BackendError: The backend asked for by name cannot serve the call.
    """
    _checks.check_dtype("slice_norms", "weight", weight)
    if weight.dim() != 2:
        raise ValueError(
            f"slice_norms: weight has shape {tuple(weight.shape)}; pass a matrix [O, I]"
            " (a convolution's weight as weight.flatten(1), its columns counted in elements)"
        )
    if _transforms.takes_reference("slice_norms", backend):
        return reference_slices.norms(weight, _slice_table(weight, sizes))
    with torch.no_grad():
        if isinstance(sizes, SliceTable) or (_transforms.is_plain(weight) and not weight.is_meta):
            table = _slice_table(weight, sizes)
            norms: Tensor = dispatch.run("slice_norms", (weight, table), backend)
        else:
            pairs = _checks.slice_sizes("slice_norms", sizes)
            norms = _ops.slice_norms.default(weight, pairs, backend=backend)
    return norms


def _slice_table(
    weight: Tensor, sizes: Tensor | Sequence[Sequence[int]] | SliceTable
) -> SliceTable:
    if not isinstance(sizes, SliceTable):
        sizes = SliceTable(_checks.slice_sizes("slice_norms", sizes))
    sizes.check(weight)
    return sizes


def _check_segments(function: str, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Refuse what the operators do not know; returns one tensor of every kind."""
    for index, tensor in enumerate(tensors):
        if not isinstance(tensor, Tensor):
            _checks.check_dtype(function, f"tensor {index}", tensor)
    kinds = tensor_kinds(tensors)
    for tensor in kinds:
        _checks.check_dtype(function, "a tensor", tensor)
    devices = sorted({str(tensor.device) for tensor in kinds})
    if len(devices) > 1:
        raise ValueError(
            f"{function}: tensors are on {', '.join(devices)}; pass those of one device at a time"
        )
    return kinds
