"""Norms of leading blocks of a matrix from one read of it.

Rows and columns are cut at every distinct size, so that each slice is a whole number of tiles. One
program sums the squares of one tile in fp64, then one program per slice adds its tiles in order.
"""

from __future__ import annotations

import numpy as np
import torch
import triton
import triton.language as tl
from numpy.typing import NDArray
from torch import Tensor

from ._alignment import common_unit

ROWS = 32
COLUMNS = 128
WARPS = 4
FINISH_BLOCK = 256


def cut(sizes: NDArray[np.int64], widest: int) -> NDArray[np.int64]:
    """Ends of pieces at most ``widest`` long, cut at every positive size; ascending."""
    points = np.unique(sizes[sizes > 0])
    return np.unique(np.concatenate([points, np.arange(widest, points.max(initial=0), widest)]))


def norms(weight: Tensor, sizes: Tensor) -> Tensor:
    """``||W[:o, :i]||`` for every row ``(o, i)`` of ``sizes`` ``[n, 2]``; ``[n]`` fp32.

    The cuts are copied to the device on every call, which a CUDA graph cannot capture.
    """
    result = torch.empty(sizes.shape[0], device=weight.device)
    if sizes.shape[0] == 0:
        return result
    limits = sizes.numpy()
    rows, columns = cut(limits[:, 0], ROWS), cut(limits[:, 1], COLUMNS)
    row_stride, column_stride = weight.stride()
    unit = 1
    if column_stride == 1:
        counts = (row_stride, *columns.tolist())
        unit = common_unit(weight.data_ptr(), weight.element_size(), counts)
    row_counts = np.searchsorted(rows, limits[:, 0], side="right")
    column_counts = np.searchsorted(columns, limits[:, 1], side="right")
    table = torch.from_numpy(
        np.concatenate([[0], rows, [0], columns // unit, row_counts, column_counts])
    ).to(weight.device)
    row_cuts, column_cuts, slices = table.split([len(rows) + 1, len(columns) + 1, 2 * len(limits)])
    tiles = torch.empty(len(rows), len(columns), dtype=torch.float64, device=weight.device)
    with torch.cuda.device_of(weight):
        if tiles.numel():
            _tile_kernel[(tiles.numel(),)](
                weight,
                row_stride // unit,
                column_stride,
                row_cuts,
                column_cuts,
                len(columns),
                tiles,
                ADJACENT=column_stride == 1,
                UNIT=unit,
                ROWS=ROWS,
                COLUMNS=COLUMNS,
                num_warps=WARPS,
            )
        _slice_kernel[(len(limits),)](
            tiles, len(columns), slices, len(limits), result, BLOCK=FINISH_BLOCK, num_warps=WARPS
        )
    return result


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
    UNIT: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    tile = tl.program_id(0)
    row_piece = tile // pieces
    column_piece = tile % pieces
    row = tl.load(row_cuts + row_piece) + tl.arange(0, ROWS)
    column = tl.load(column_cuts + column_piece) * UNIT + tl.arange(0, COLUMNS)
    row_end = tl.load(row_cuts + row_piece + 1)
    column_end = tl.load(column_cuts + column_piece + 1) * UNIT
    offset = (row * row_units * UNIT)[:, None]
    offset += (column if ADJACENT else column * column_stride)[None, :]
    mask = (row < row_end)[:, None] & (column < column_end)[None, :]
    value = tl.load(weight + offset, mask=mask, other=0.0).to(tl.float32).to(tl.float64)
    tl.store(tiles + tile, tl.sum(tl.sum(value * value, 1), 0))


@triton.jit(do_not_specialize=["pieces", "count"])
def _slice_kernel(tiles, pieces, slices, count, result, BLOCK: tl.constexpr):
    index = tl.program_id(0)
    rows = tl.load(slices + index)
    columns = tl.load(slices + count + index)
    sums = tl.zeros([BLOCK], tl.float64)
    for begin in range(0, rows * columns, BLOCK):
        offset = begin + tl.arange(0, BLOCK)
        row = offset // tl.maximum(columns, 1)
        column = offset - row * columns
        sums += tl.load(tiles + row * pieces + column, mask=offset < rows * columns, other=0.0)
    tl.store(result + index, tl.sqrt(tl.sum(sums, 0)).to(tl.float32))
