"""Norms of many tensors from one table of addresses: two launches, however many tensors.

Every segment is cut into chunks of :data:`CHUNK` elements. One program sums the squares of one
chunk in fp64, then one program per segment adds its chunks in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import triton
import triton.language as tl
from torch import Tensor

from ..backend.triton import NAME
from ..dtypes import SUPPORTED_DTYPES
from ..layout import is_dense
from ..tiles.alignment import VECTOR_BYTES
from ..tiles.types import TYPES
from .definition import Arguments
from .table import SegmentTable

CHUNK = 1 << 14
BLOCK = 2048
WARPS = 8
FINISH_BLOCK = 128


@dataclass(frozen=True)
class Kind:
    """Chunks that one compiled kernel reads: they share a dtype, and are aligned or not."""

    dtype: torch.dtype
    aligned: bool
    first: int
    count: int


@dataclass(frozen=True)
class DeviceTable:
    """What the kernels read, ``n`` segments and ``m`` chunks, packed into one int64 tensor.

    Attributes:
        chunks: ``[2, m]``: address and number of elements. Chunks of one kind follow each other, as
            do those of one segment.
        segments: ``[2, n]``: first chunk and number of chunks.
        kinds: The runs of ``chunks``.
    """

    chunks: Tensor
    segments: Tensor
    kinds: tuple[Kind, ...]


def pack(table: SegmentTable) -> DeviceTable:
    """Cut the segments of a table into chunks, and copy the result to their device at once."""
    addresses, lengths, dtypes = (
        column.numpy() for column in (table.addresses, table.lengths, table.dtypes)
    )
    misaligned = addresses % VECTOR_BYTES != 0
    order = np.lexsort((misaligned, dtypes))
    counts = -(-lengths // CHUNK)
    owners = np.repeat(order, counts[order])
    ends = np.cumsum(counts[order])
    firsts = np.empty_like(counts)
    firsts[order] = ends - counts[order]
    begins = (np.arange(len(owners)) - firsts[owners]) * CHUNK
    widths = np.array([dtype.itemsize for dtype in SUPPORTED_DTYPES])
    starts = addresses[owners] + begins * widths[dtypes[owners]]
    sizes = np.minimum(lengths[owners] - begins, CHUNK)
    packed = torch.from_numpy(np.concatenate([starts, sizes, firsts, counts]).astype(np.int64))
    packed = packed.to(table.tensors[0].device)

    keys = 2 * dtypes[owners] + misaligned[owners]
    kinds = tuple(
        Kind(SUPPORTED_DTYPES[key // 2], bool(key % 2 == 0), int(first), int(count))
        for key, first, count in zip(
            *np.unique(keys, return_index=True, return_counts=True), strict=True
        )
    )
    chunks = 2 * len(owners)
    return DeviceTable(packed[:chunks].view(2, -1), packed[chunks:].view(2, -1), kinds)


def norms(call: Arguments) -> Tensor:
    """L2 norm of each tensor ``[n]`` fp32, summed in fp64 over fixed chunks.

    A :class:`SegmentTable` is copied to the device on its first call; later calls copy nothing and
    can be captured in a CUDA graph. A list is packed and copied every time.
    """
    tensors = call.tensors
    if isinstance(tensors, SegmentTable):
        tensors.check()
        table = tensors.packed.get(NAME)
        if table is None:
            table = tensors.packed[NAME] = pack(tensors)
        kept: Sequence[Tensor] = tensors.tensors
    else:
        kept = [t if is_dense(t) else t.contiguous() for t in tensors]
        table = pack(SegmentTable(kept))
    device = kept[0].device
    partials = torch.empty(table.chunks.shape[1], dtype=torch.float64, device=device)
    result = torch.empty(len(kept), device=device)
    with torch.cuda.device_of(result):
        for kind in table.kinds:
            _chunk_kernel[(kind.count,)](
                table.chunks,
                table.chunks.shape[1],
                kind.first,
                partials,
                DTYPE=TYPES[kind.dtype],
                ALIGNED=kind.aligned,
                BLOCK=BLOCK,
                num_warps=WARPS,
            )
        _segment_kernel[(len(kept),)](
            partials, table.segments, len(kept), result, BLOCK=FINISH_BLOCK, num_warps=1
        )
        if device.type == "cuda":
            # The table may have been made on another stream and be dropped while this one reads.
            table.chunks.record_stream(torch.cuda.current_stream(device))
    return result


@triton.jit(do_not_specialize=["count", "first"])
def _chunk_kernel(
    chunks,
    count,
    first,
    partials,
    DTYPE: tl.constexpr,
    ALIGNED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    chunk = first + tl.program_id(0)
    address = tl.load(chunks + chunk)  # []
    length = tl.load(chunks + count + chunk).to(tl.int32)  # []
    x = address.to(tl.pointer_type(DTYPE))
    if ALIGNED:
        x = tl.multiple_of(x, 16)
    # Whole groups of 16 keep the mask of a vector constant; the rest is read one by one.
    whole = length // 16 * 16
    lanes = tl.arange(0, BLOCK)  # [BLOCK]
    sums = tl.zeros([BLOCK], tl.float64)  # [BLOCK]
    for begin in range(0, whole, BLOCK):
        offset = begin + lanes  # [BLOCK]
        value = (
            tl.load(x + offset, mask=offset < whole, other=0.0).to(tl.float32).to(tl.float64)
        )  # [BLOCK]
        sums += value * value
    rest = whole + tl.arange(0, 16)  # [16]
    value = tl.load(x + rest, mask=rest < length, other=0.0).to(tl.float32).to(tl.float64)  # [16]
    tl.store(partials + chunk, tl.sum(sums, 0) + tl.sum(value * value, 0))


@triton.jit(do_not_specialize=["segments_count"])
def _segment_kernel(partials, segments, segments_count, result, BLOCK: tl.constexpr):
    segment = tl.program_id(0)
    first = tl.load(segments + segment)  # []
    count = tl.load(segments + segments_count + segment).to(tl.int32)  # []
    sums = tl.zeros([BLOCK], tl.float64)  # [BLOCK]
    for begin in range(0, count, BLOCK):
        offset = begin + tl.arange(0, BLOCK)  # [BLOCK]
        sums += tl.load(partials + first + offset, mask=offset < count, other=0.0)  # [BLOCK]
    tl.store(result + segment, tl.sqrt(tl.sum(sums, 0)).to(tl.float32))
