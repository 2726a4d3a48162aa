"""Features as the attention map kernels read them: layouts, and the bilinear resize."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import triton
import triton.language as tl
from torch import Tensor

from ..tiles.alignment import common_unit

LAYOUT = ("image_units", "row_units", "slow_units", "fast_units")
"""Run-time arguments of :func:`layout`."""


@dataclass(frozen=True)
class Tile:
    """Positions and channels a program works on at a time, and its warps."""

    positions: int
    channels: int
    warps: int


def layout(x: Tensor, resized: bool) -> dict[str, Any]:
    """Strides of ``x`` as the kernels take them.

    ``ADJACENT``: channels are adjacent, and the slow stride is that of columns; else columns are
    adjacent, and the slow stride is that of channels. ``JOINED``: positions follow each other at
    the stride of columns. ``UNIT``: elements that strides and the extent of the adjacent axis are
    counted in; the row stride only where channels are adjacent.
    """
    images, height, width, channels = x.shape
    image_stride, row_stride, column_stride, channel_stride = x.stride()
    if images == 1:
        image_stride = 0
    adjacent = channel_stride == 1
    joined = height == 1 or row_stride == width * column_stride
    if joined:
        row_stride = width * column_stride
    counts = [image_stride, *((row_stride, column_stride) if adjacent else (channel_stride,))]
    counts.append(channels if adjacent else height * width)
    # Rows that do not follow each other, and taps, start anywhere in a run of positions.
    scattered = not adjacent and (resized or not joined)
    unit = 1 if scattered else common_unit(x.data_ptr(), x.element_size(), counts)
    return {
        "image_units": image_stride // unit,
        "row_units": row_stride // unit if adjacent else row_stride,
        "slow_units": (column_stride if adjacent else channel_stride) // unit,
        "fast_units": counts[-1] // unit,
        "ADJACENT": adjacent,
        "JOINED": joined,
        "UNIT": unit,
    }


@triton.jit
def channel_means(
    x,
    p,
    grid,
    units,
    channels,
    shrink,
    RESIZED: tl.constexpr,
    ADJACENT: tl.constexpr,
    JOINED: tl.constexpr,
    UNIT: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """``shrink`` times the sums of squares over the channels of the image at ``x``.

    ``grid`` is height and width of the features and of the map, ``units`` the last three of
    :data:`LAYOUT`, ``p`` the positions of the map.
    """
    height, width, out_height, out_width = grid
    row_units, slow_units, fast_units = units
    positions = out_height * out_width
    if ADJACENT:
        row_stride, column_stride, channel_stride = row_units * UNIT, slow_units * UNIT, 1
        channels = fast_units * UNIT
        inside = p < positions
    else:
        row_stride, column_stride, channel_stride = row_units, 1, slow_units * UNIT
        inside = p < (positions if RESIZED else fast_units * UNIT)
    if RESIZED:
        top, y_weight = bilinear_tap(p // out_width, height, out_height)
        left, x_weight = bilinear_tap(p % out_width, width, out_width)
        bottom = tl.minimum(top + 1, height - 1)
        right = tl.minimum(left + 1, width - 1)
        top, bottom = top.to(tl.int64) * row_stride, bottom.to(tl.int64) * row_stride
        left, right = left.to(tl.int64) * column_stride, right.to(tl.int64) * column_stride
    else:
        at = offset(p, width, row_stride, column_stride, JOINED)  # [BLOCK_P]

    sums = tl.zeros([BLOCK_P, BLOCK_C], tl.float32)  # [BLOCK_P, BLOCK_C]
    for begin in range(0, channels, BLOCK_C):
        c = begin + tl.arange(0, BLOCK_C)  # [BLOCK_C]
        mask = inside[:, None] & (c < channels)[None, :]
        channel = x + (c.to(tl.int64) * channel_stride)[None, :]  # [1, BLOCK_C]
        if RESIZED:
            value = load(channel, top + left, mask) * ((1 - y_weight) * (1 - x_weight))[:, None]
            value += load(channel, top + right, mask) * ((1 - y_weight) * x_weight)[:, None]
            value += load(channel, bottom + left, mask) * (y_weight * (1 - x_weight))[:, None]
            value += load(channel, bottom + right, mask) * (y_weight * x_weight)[:, None]
        else:
            value = load(channel, at, mask)  # [BLOCK_P, BLOCK_C]
        sums += value * (value * shrink)
    return tl.sum(sums, 1)  # [BLOCK_P]


@triton.jit
def offset(p, width, row_stride, column_stride, JOINED: tl.constexpr):
    """Elements from the first position of an image to positions ``p``."""
    if JOINED:
        at = p.to(tl.int64) * column_stride
    else:
        at = (p // width).to(tl.int64) * row_stride + (p % width).to(tl.int64) * column_stride
    return at


@triton.jit
def load(channel, at, mask):
    return tl.load(channel + at[:, None], mask=mask, other=0.0).to(tl.float32)  # [P, C]


@triton.jit
def bilinear_tap(o, size, out_size):
    """Lower tap of output index ``o`` along one axis and the weight of the upper, half-pixel
    centres: coordinate ``max(0, (o + 1/2) size / out_size - 1/2)``, in integers until the weight.
    """
    numerator = tl.maximum((2 * o + 1) * size - out_size, 0)
    low = numerator // (2 * out_size)
    return low, (numerator - low * (2 * out_size)).to(tl.float32) / (2 * out_size)
