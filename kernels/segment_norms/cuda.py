"""Norms of many tensors in two CUDA launches over a table of addresses on the device."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..backend.cuda import NAME, extension, queue, tensor_reasons
from ..layout import is_dense
from .definition import Arguments
from .table import SegmentTable, copy_reasons, kinds_of


@dataclass(frozen=True)
class DeviceTable:
    """A segment table on the device, cut into chunks.

    Attributes:
        columns: One tensor that holds all columns, int64: addresses ``[n]``, lengths ``[n]``,
            dtypes ``[n]``, number of the first chunk of every segment ``[n + 1]``, segment of every
            chunk ``[chunks]``.
        segments: Number of segments n.
        chunks: Number of chunks.
    """

    columns: Tensor
    segments: int
    chunks: int

    def addresses(self) -> tuple[int, ...]:
        """Address of every column, in their order."""
        start, n = self.columns.data_ptr(), self.segments
        return tuple(start + 8 * offset for offset in (0, n, 2 * n, 3 * n, 4 * n + 1))


def reasons(call: Arguments) -> tuple[str, ...]:
    """Why the extension cannot read these tensors."""
    declined = tensor_reasons([("a tensor", tensor) for tensor in kinds_of(call.tensors)])
    return declined or copy_reasons(call.tensors, NAME)


def run(call: Arguments) -> Tensor:
    """L2 norm of each tensor ``[n]`` fp32, summed in fp64 over fixed chunks."""
    tensors = call.tensors
    if isinstance(tensors, SegmentTable):
        tensors.check()
        table = tensors.packed.get(NAME)
        if table is None:
            table = tensors.packed[NAME] = _pack(tensors)
            # Other streams may use the table next. This is the only wait, in the first call.
            torch.cuda.current_stream(table.columns.device).synchronize()
        return _norms(table)
    dense = [t if is_dense(t) else t.contiguous() for t in tensors]
    return _norms(_pack(SegmentTable(dense)))


def _norms(table: DeviceTable) -> Tensor:
    device = table.columns.device
    result = torch.empty(table.segments, dtype=torch.float32, device=device)
    scratch = torch.empty(table.chunks, dtype=torch.float64, device=device)
    extension().segment_norms(
        *table.addresses(),
        table.segments,
        table.chunks,
        scratch.data_ptr(),
        result.data_ptr(),
        *queue(device),
    )
    return result


def _pack(table: SegmentTable) -> DeviceTable:
    """Queue the copy of a table to the device of its tensors, through pinned memory."""
    chunk = extension().CHUNK
    chunks = (table.lengths + (chunk - 1)).div(chunk, rounding_mode="floor")
    first = torch.nn.functional.pad(chunks.cumsum(0), (1, 0))
    segment_of = torch.repeat_interleave(chunks)
    columns = (table.addresses, table.lengths, table.dtypes, first, segment_of)
    pinned = torch.empty(sum(c.numel() for c in columns), dtype=torch.int64, pin_memory=True)
    torch.cat(columns, out=pinned)
    return DeviceTable(
        pinned.to(table.tensors[0].device, non_blocking=True), len(table), segment_of.numel()
    )
