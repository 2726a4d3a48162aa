"""Public operator of norms of leading blocks of a matrix."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .. import checks, dispatch, library, transforms
from . import reference
from .definition import Prepared
from .table import SliceTable

__all__ = ["SliceTable", "pack_slices", "slice_norms"]


_ops = getattr(torch.ops, library.NAMESPACE)


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
    return SliceTable(_slice_sizes("pack_slices", sizes))


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
        ``[n]``: fp64 for fp64 ``weight``, else fp32; 0 for an empty slice.

    Differentiable any number of times in ``weight``; a slice whose norm is 0 adds nothing. The
    gradient is plain PyTorch: every slice adds to one entry of a table, whose sums from both far
    ends are what the entries of ``weight`` are multiplied by. That is O(O I + n), and holds
    ``weight`` in fp64 a few times. Parameters require gradients, so call this under
    ``torch.no_grad()`` where only values are wanted.

    Squares are bucketed between the distinct sizes and summed in fp64; each slice is then one
    lookup, so a million slices cost little more than a hundred. All slices begin at the origin, so
    nothing is subtracted and nothing cancels; the native backend returns the same bits whatever the
    number of threads, the triton backend on every run. Error bound:
    :func:`tvtfast.kernels.segment_norms.definition.tolerance`.

    Raises:
        TypeError: ``weight`` is not a floating-point tensor of a listed dtype.
        ValueError: ``weight`` is not a matrix, or a size is outside it.
        BackendError: The backend asked for by name cannot serve the call.
    """
    checks.check_dtype("slice_norms", "weight", weight)
    if weight.dim() != 2:
        raise ValueError(
            f"slice_norms: weight has shape {tuple(weight.shape)}; pass a matrix [O, I]"
            " (a convolution's weight as weight.flatten(1), its columns counted in elements)"
        )
    if transforms.takes_reference("slice_norms", backend):
        return reference.run(Prepared(weight, _slice_table(weight, sizes)))
    packed = isinstance(sizes, SliceTable) and not transforms.records_gradients(weight)
    norms: Tensor
    if packed or (transforms.is_plain(weight) and not weight.is_meta):
        table = _slice_table(weight, sizes)
        norms = dispatch.run("slice_norms", Prepared(weight, table), backend)
    else:
        pairs = sizes.sizes if isinstance(sizes, SliceTable) else _slice_sizes("slice_norms", sizes)
        norms = _ops.slice_norms.default(weight, pairs, backend=backend)
    return norms


def _slice_table(
    weight: Tensor, sizes: Tensor | Sequence[Sequence[int]] | SliceTable
) -> SliceTable:
    if not isinstance(sizes, SliceTable):
        sizes = SliceTable(_slice_sizes("slice_norms", sizes))
    sizes.check(weight)
    return sizes


def _slice_sizes(function: str, sizes: Tensor | Sequence[Sequence[int]]) -> Tensor:
    """Sizes as an int64 tensor ``[n, 2]`` on the CPU."""
    if not isinstance(sizes, Tensor):
        sizes = torch.tensor([tuple(size) for size in sizes], dtype=torch.int64).reshape(-1, 2)
    if sizes.dim() != 2 or sizes.shape[1] != 2 or sizes.is_floating_point() or sizes.is_complex():
        raise ValueError(
            f"{function}: sizes is {tuple(sizes.shape)} {sizes.dtype}; pass integers [n, 2],"
            " one (rows, columns) per slice"
        )
    if sizes.device.type not in ("cpu", "meta"):
        raise ValueError(
            f"{function}: sizes is on {sizes.device}; keep it on the CPU, where it is checked"
        )
    return sizes.to(torch.int64)
