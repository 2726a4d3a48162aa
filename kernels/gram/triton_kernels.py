"""Inner products of few and long rows in Triton.

One tile of the result keeps one processor busy, whatever the length of the rows, so their length is
split: one launch sums spans, a second adds the spans in order. Half inputs go to the tensor cores
as they are; fp32 and relative rows are multiplied in fp32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..backend import triton as capability
from ..tiles.alignment import common_unit
from .definition import Arguments

PROGRAMS = 256
"""Programs of the first launch that are worth splitting for."""
SHORTEST_SPAN, LONGEST_SPAN = 128, 1024
"""Products that one program sums; the error bound counts on the longest, as tensor cores truncate
their sums."""
FINISH_BLOCK = 256
FINISH_WARPS = 4


@dataclass(frozen=True)
class Config:
    """Rows and columns of a tile, products summed per step, steps of a program, and its warps."""

    rows: int
    columns: int
    step: int
    steps: int
    warps: int


def pick(matrices: int, rows: int, columns: int, length: int, wide: bool) -> Config:
    """Tile and span of a launch; products in fp32 hold both operands in registers, so the larger
    the tile, the shorter the step."""
    tile = [min(64, max(16, triton.next_power_of_2(n))) for n in (rows, columns)]
    step = 1024 // max(tile) if wide else 64
    programs = matrices * triton.cdiv(rows, tile[0]) * triton.cdiv(columns, tile[1])
    span = triton.cdiv(length, max(1, PROGRAMS // programs))
    span = min(LONGEST_SPAN, max(SHORTEST_SPAN, span))
    warps = 8 if min(tile) == 64 and not wide else 4
    return Config(tile[0], tile[1], step, triton.cdiv(span, step), warps)


def forward(call: Arguments) -> Tensor:
    """``[K, n, m]`` from ``[K, n, M]`` and ``[T, m, M]``; matrix ``k`` of x meets ``k % T``."""
    x, y, relative = call
    matrices, rows, length = x.shape
    columns = rows if y is None else y.shape[1]
    if x.numel() == 0 or columns == 0:
        return torch.zeros(matrices, rows, columns, device=x.device)
    x = _readable(x)
    y = x if y is None else _readable(y)
    wide = relative or x.dtype == torch.float32 or capability.interpreting()
    config = pick(matrices, rows, columns, length, wide)
    tiles = triton.cdiv(rows, config.rows) * triton.cdiv(columns, config.columns)
    spans = triton.cdiv(length, config.steps * config.step)
    sums = torch.empty(matrices, spans, rows, columns, device=x.device)
    with torch.cuda.device_of(x):
        _span_kernel[(matrices * spans * tiles,)](
            x,
            y,
            sums,
            rows,
            columns,
            length,
            spans,
            config.steps,
            y.shape[0],
            **_layout("x", x),
            **_layout("y", y),
            ONE_TILE=y is x and tiles == 1,
            RELATIVE=relative,
            WIDE=wide,
            BLOCK_N=config.rows,
            BLOCK_M=config.columns,
            BLOCK_K=config.step,
            num_warps=config.warps,
        )
        if spans == 1:
            return sums.squeeze(1)
        size = rows * columns
        result = torch.empty(matrices, rows, columns, device=x.device)
        blocks = triton.cdiv(size, FINISH_BLOCK)
        _sum_kernel[(matrices * blocks,)](
            sums, result, spans, size, blocks, BLOCK=FINISH_BLOCK, num_warps=FINISH_WARPS
        )
    return result


def _readable(x: Tensor) -> Tensor:
    """Rows whose elements are adjacent, or elements whose rows are."""
    return x if x.stride(2) == 1 or x.stride(1) == 1 else x.contiguous()


def _layout(name: str, x: Tensor) -> dict[str, Any]:
    """Strides of an operand as the kernel takes them.

    ``ADJACENT``: the elements of a row are adjacent, and the slow stride is that of rows; else
    rows are, and the slow stride is that of elements. ``UNIT``: elements that strides and the
    extent of the adjacent axis are counted in.
    """
    matrix_stride, row_stride, element_stride = x.stride()
    adjacent = element_stride == 1
    slow, extent = (row_stride, x.shape[2]) if adjacent else (element_stride, x.shape[1])
    counts = (0 if x.shape[0] == 1 else matrix_stride, slow, extent)
    unit = common_unit(x.data_ptr(), x.element_size(), counts)
    return {
        **{f"{name}_{k}": n // unit for k, n in zip(_STRIDES, counts, strict=True)},
        f"{name.upper()}_ADJACENT": adjacent,
        f"{name.upper()}_UNIT": unit,
    }


_STRIDES = ("matrix", "slow", "extent")
_LAYOUTS = [f"{name}_{stride}" for name in "xy" for stride in _STRIDES]
_SHAPE = ["rows", "columns", "length", "spans", "steps", "shared"]


@triton.jit(do_not_specialize=[*_SHAPE, *_LAYOUTS])
def _span_kernel(
    x,
    y,
    sums,
    rows,
    columns,
    length,
    spans,
    steps,
    shared,
    x_matrix,
    x_slow,
    x_extent,
    y_matrix,
    y_slow,
    y_extent,
    X_ADJACENT: tl.constexpr,
    X_UNIT: tl.constexpr,
    Y_ADJACENT: tl.constexpr,
    Y_UNIT: tl.constexpr,
    ONE_TILE: tl.constexpr,
    RELATIVE: tl.constexpr,
    WIDE: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """Products of one span of the rows of one tile: ``sums`` ``[K, spans, n, m]``."""
    columns_of_tiles = tl.cdiv(columns, BLOCK_M)
    tiles = tl.cdiv(rows, BLOCK_N) * columns_of_tiles
    tile = tl.program_id(0) % tiles
    part = tl.program_id(0) // tiles
    matrix = (part // spans).to(tl.int64)
    i = tile // columns_of_tiles * BLOCK_N + tl.arange(0, BLOCK_N)  # [BLOCK_N]
    j = tile % columns_of_tiles * BLOCK_M + tl.arange(0, BLOCK_M)  # [BLOCK_M]
    x += matrix * x_matrix * X_UNIT
    y += (matrix % shared) * y_matrix * Y_UNIT

    product = tl.zeros([BLOCK_N, BLOCK_M], tl.float32)  # [BLOCK_N, BLOCK_M]
    start = (part % spans) * steps * BLOCK_K
    for begin in range(start, tl.minimum(start + steps * BLOCK_K, length), BLOCK_K):
        k = begin + tl.arange(0, BLOCK_K)  # [BLOCK_K]
        left = _tile(
            x, i, k, rows, length, x_slow, x_extent, X_ADJACENT, X_UNIT, RELATIVE, WIDE
        )  # [BLOCK_N, BLOCK_K]
        if ONE_TILE:
            right = left
        else:
            right = _tile(
                y, j, k, columns, length, y_slow, y_extent, Y_ADJACENT, Y_UNIT, RELATIVE, WIDE
            )  # [BLOCK_M, BLOCK_K]
        product = tl.dot(
            left, tl.trans(right), product, input_precision="ieee"
        )  # [BLOCK_N, BLOCK_M]

    at = (
        part.to(tl.int64) * rows * columns + (i.to(tl.int64) * columns)[:, None] + j[None, :]
    )  # [BLOCK_N, BLOCK_M]
    tl.store(sums + at, product, mask=(i < rows)[:, None] & (j < columns)[None, :])


@triton.jit
def _tile(
    x,
    i,
    k,
    rows,
    length,
    slow,
    extent,
    ADJACENT: tl.constexpr,
    UNIT: tl.constexpr,
    RELATIVE: tl.constexpr,
    WIDE: tl.constexpr,
):
    """Elements k of rows i, relative to row 0 if asked for."""
    if ADJACENT:
        length = extent * UNIT
        across, along = i.to(tl.int64) * slow * UNIT, k
    else:
        rows = extent * UNIT
        across, along = i, k.to(tl.int64) * slow * UNIT
    mask = (i < rows)[:, None] & (k < length)[None, :]  # [I, K]
    value = tl.load(x + across[:, None] + along[None, :], mask=mask, other=0.0)  # [I, K]
    if WIDE:
        value = value.to(tl.float32)
    if RELATIVE:
        first = tl.load(x + along, mask=k < length, other=0.0).to(tl.float32)  # [K]
        value -= first[None, :]
    return value


@triton.jit(do_not_specialize=["spans", "size", "blocks"])
def _sum_kernel(sums, result, spans, size, blocks, BLOCK: tl.constexpr):
    """Add the spans of each matrix in order."""
    matrix = (tl.program_id(0) // blocks).to(tl.int64)
    entry = tl.program_id(0) % blocks * BLOCK + tl.arange(0, BLOCK)  # [BLOCK]
    sums += matrix * spans * size + entry  # [BLOCK]
    total = tl.zeros([BLOCK], tl.float32)  # [BLOCK]
    for _ in range(0, spans):
        total += tl.load(sums, mask=entry < size, other=0.0)  # [BLOCK]
        sums += size
    tl.store(result + matrix * size + entry, total, mask=entry < size)
