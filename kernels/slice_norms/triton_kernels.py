"""Norms of leading blocks of a matrix from one read of it.

Rows and columns are cut at every distinct size, so that each slice is a whole number of tiles. One
program sums the squares of one tile in fp64; a scan along each axis makes of the tiles the sums of
all blocks that begin at the origin, in which every slice looks up its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import triton
import triton.language as tl
from numpy.typing import NDArray
from torch import Tensor

from ..backend.triton import NAME
from ..tiles.alignment import common_unit
from .definition import Prepared
from .table import SliceTable, packed_key

ROWS = 32
COLUMNS = 128
WARPS = 4
SCAN_LENGTH = 64
SCAN_LINES = 16
LOOKUP_BLOCK = 1024
NARROWEST = 2  # bytes per element


@dataclass(frozen=True)
class DeviceTable:
    """A slice table on the device.

    Attributes:
        row_cuts: ``[R + 1]`` int32, limits of the rows of tiles.
        column_cuts: ``[P + 1]`` int32, limits of the columns of tiles in elements / ``unit``.
        unit: Power of two that divides all column cuts.
        entries: ``[n]`` int32, number of the last tile of every slice; -1 for an empty slice.
    """

    row_cuts: Tensor
    column_cuts: Tensor
    unit: int
    entries: Tensor


def norms(call: Prepared) -> Tensor:
    """``||W[:o, :i]||`` for every row ``(o, i)`` of the table; ``[n]`` fp32.

    The table is copied to the device on its first call there; later calls copy nothing and can be
    captured in a CUDA graph.
    """
    weight, table = call
    device = weight.device
    key = packed_key(NAME, device)
    cuts = table.packed.get(key)
    if cuts is None:
        cuts = table.packed[key] = pack(table, device)
    result = torch.empty(len(table), device=device)
    if len(table) == 0:
        return result
    rows, pieces = len(cuts.row_cuts) - 1, len(cuts.column_cuts) - 1
    tiles = torch.empty(rows, pieces, dtype=torch.float64, device=device)
    row_stride, column_stride = weight.stride()
    unit = common_unit(weight.data_ptr(), weight.element_size(), (row_stride,))
    with torch.cuda.device_of(weight):
        if tiles.numel():
            _tile_kernel[(tiles.numel(),)](
                weight,
                row_stride // unit,
                column_stride,
                cuts.row_cuts,
                cuts.column_cuts,
                pieces,
                tiles,
                ADJACENT=column_stride == 1,
                ROW_UNIT=unit,
                COLUMN_UNIT=cuts.unit,
                ROWS=ROWS,
                COLUMNS=COLUMNS,
                num_warps=WARPS,
            )
            for lines, line_step, length, step in (
                (rows, pieces, pieces, 1),
                (pieces, 1, rows, pieces),
            ):
                _scan_kernel[(triton.cdiv(lines, SCAN_LINES),)](
                    tiles,
                    lines,
                    line_step,
                    length,
                    step,
                    LENGTH=SCAN_LENGTH,
                    LINES=SCAN_LINES,
                    num_warps=WARPS,
                )
        _lookup_kernel[(triton.cdiv(len(table), LOOKUP_BLOCK),)](
            tiles, cuts.entries, len(table), result, BLOCK=LOOKUP_BLOCK, num_warps=WARPS
        )
        if device.type == "cuda":
            # The table may have been made on another stream and be dropped while this one reads.
            cuts.entries.record_stream(torch.cuda.current_stream(device))
    return result


def pack(table: SliceTable, device: torch.device) -> DeviceTable:
    """Cut both axes at the sizes of a table, and copy the result to a device at once."""
    sizes = table.sizes.numpy()
    rows, row_counts = cut(sizes[:, 0], table.rows, ROWS)
    columns, column_counts = cut(sizes[:, 1], table.columns, COLUMNS)
    entries = (row_counts - 1) * (len(columns) - 1) + column_counts - 1
    entries[(row_counts == 0) | (column_counts == 0)] = -1
    unit = common_unit(0, NARROWEST, columns.tolist())
    packed = torch.from_numpy(np.concatenate([rows, columns // unit, entries]).astype(np.int32))
    parts = packed.to(device).split([len(rows), len(columns), len(entries)])
    return DeviceTable(parts[0], parts[1], unit, parts[2])


def cut(
    sizes: NDArray[np.int64], largest: int, widest: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Limits of pieces at most ``widest`` long, cut at every size; pieces inside every size."""
    limits = np.zeros(largest + 1, dtype=bool)
    limits[sizes] = True
    limits[::widest] = True
    return np.flatnonzero(limits), (np.cumsum(limits) - 1)[sizes]


@triton.jit(do_not_specialize=["row_units", "column_stride", "pieces"])
def _tile_kernel(
    weight,
    row_units,
    column_stride,
    row_cuts,
    column_cuts,
    pieces,
    tiles,
    ADJACENT: tl.constexpr,
    ROW_UNIT: tl.constexpr,
    COLUMN_UNIT: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    tile = tl.program_id(0)
    row_piece = tile // pieces
    column_piece = tile % pieces
    row = tl.load(row_cuts + row_piece) + tl.arange(0, ROWS)  # [ROWS]
    column = tl.load(column_cuts + column_piece) * COLUMN_UNIT + tl.arange(0, COLUMNS)  # [COLUMNS]
    row_end = tl.load(row_cuts + row_piece + 1)  # []
    column_end = tl.load(column_cuts + column_piece + 1) * COLUMN_UNIT  # []
    offset = (row.to(tl.int64) * row_units * ROW_UNIT)[:, None]  # [ROWS, 1]
    offset += (column if ADJACENT else column.to(tl.int64) * column_stride)[
        None, :
    ]  # [ROWS, COLUMNS]
    mask = (row < row_end)[:, None] & (column < column_end)[None, :]  # [ROWS, COLUMNS]
    value = (
        tl.load(weight + offset, mask=mask, other=0.0).to(tl.float32).to(tl.float64)
    )  # [ROWS, COLUMNS]
    tl.store(tiles + tile, tl.sum(tl.sum(value * value, 1), 0))


@triton.jit(do_not_specialize=["lines", "line_step", "length", "step"])
def _scan_kernel(tiles, lines, line_step, length, step, LENGTH: tl.constexpr, LINES: tl.constexpr):
    """Replace every value of a line by the sum of the line up to it."""
    line = tl.program_id(0) * LINES + tl.arange(0, LINES)  # [LINES]
    carry = tl.zeros([LINES], tl.float64)  # [LINES]
    for begin in range(0, length, LENGTH):
        along = begin + tl.arange(0, LENGTH)  # [LENGTH]
        offset = (along * step)[:, None] + (line * line_step)[None, :]  # [LENGTH, LINES]
        mask = (along < length)[:, None] & (line < lines)[None, :]  # [LENGTH, LINES]
        value = tl.load(tiles + offset, mask=mask, other=0.0)  # [LENGTH, LINES]
        tl.store(tiles + offset, tl.cumsum(value, 0) + carry[None, :], mask=mask)
        carry += tl.sum(value, 0)  # [LINES]


@triton.jit(do_not_specialize=["count"])
def _lookup_kernel(sums, entries, count, result, BLOCK: tl.constexpr):
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)  # [BLOCK]
    entry = tl.load(entries + index, mask=index < count, other=-1)  # [BLOCK]
    value = tl.load(sums + entry, mask=entry >= 0, other=0.0)  # [BLOCK]
    tl.store(result + index, tl.sqrt(value).to(tl.float32), mask=index < count)
