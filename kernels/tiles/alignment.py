"""What Triton must be told so that it loads 16 bytes at a time."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

VECTOR_BYTES = 16


def common_unit(address: int, itemsize: int, counts: Iterable[int]) -> int:
    """Largest vector, in elements, that address, strides and extents are all multiples of.

    Triton knows a run-time integer as a multiple of 16 or of nothing: 216 channels of bf16 are 27
    whole vectors, and it would load them one by one. Kernels therefore take counts in this unit and
    multiply by it, a compile-time constant.

    Args:
        address: Of the first element, in bytes.
        itemsize: Bytes per element.
        counts: Strides and extents in elements.
    """
    counts = tuple(counts)
    unit = VECTOR_BYTES // itemsize
    while unit > 1 and (address % (unit * itemsize) or any(count % unit for count in counts)):
        unit //= 2
    return unit


def shared_unit(tensors: Iterable[Tensor], counts: Iterable[int]) -> int:
    """The same for tensors that are read with the same strides and extents."""
    counts = tuple(counts)
    return min(common_unit(x.data_ptr(), x.element_size(), counts) for x in tensors)


def readable(x: Tensor, rows: int, unit: int) -> Tensor:
    """A matrix whose columns are adjacent and come in whole groups of ``unit``, and so many rows of
    which lie within 32 bits: ``x``, or a copy."""
    groups = common_unit(x.data_ptr(), x.element_size(), (x.stride(0),))
    if x.stride(1) == 1 and groups >= unit and rows * x.stride(0) < 2**31:
        return x
    return x.contiguous()
