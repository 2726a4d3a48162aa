"""Attention maps in Triton: one read of the features, no resized or squared copy.

Up to :data:`ONE_PROGRAM` positions one program makes the whole map of an image; above, one launch
sums channels in blocks of positions and a second normalises each image. The gradient is a stencil:
the adjoint of a bilinear resize, times the gradient of the map, times the resize links a position
to its eight neighbours only, so their weights are found once per image and applied to all channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from .._layout import empty_gradient
from ._alignment import common_unit

ONE_PROGRAM = 1024
FINISH_BLOCK = 512
FINISH_WARPS = 4
NORM_FLOOR = tl.constexpr(1e-12)
STENCIL = 9


@dataclass(frozen=True)
class Config:
    """Positions and channels of a tile, and warps that work on it."""

    positions: int
    channels: int
    warps: int


def pick(positions: int, channels: int, resized: bool, adjacent: bool) -> Config:
    """Tile of the sum over channels, all positions of a map in one where they fit.

    A resized tile is four loads deep and holds fewer values; fewer still where channels are apart
    and every value has an address of its own.
    """
    rows = max(16, triton.next_power_of_2(positions)) if positions <= ONE_PROGRAM else 128
    elements = (4096 if adjacent else 1024) if resized else 8192
    columns = min(elements // rows, 128, max(8, triton.next_power_of_2(channels)))
    return Config(rows, columns, 8 if rows >= 256 or rows * columns > 2048 else 4)


def pick_backward(positions: int, channels: int) -> Config:
    """Tile of the gradient."""
    columns = min(64, max(8, triton.next_power_of_2(channels)))
    rows = min(max(16, triton.next_power_of_2(positions)), 2048 // columns)
    return Config(rows, columns, 4)


def forward(x: Tensor, size: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Map ``[B, H* W*]`` and norm ``[B]`` of features ``[B, H, W, C]``."""
    _, values, norm = _forward(x, None, size)
    return values, norm


def distance(x: Tensor, teacher: Tensor, size: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Distance ``[B]``, map and norm; image ``b`` meets row ``b % T`` of the teacher ``[T, N]``."""
    return _forward(x, teacher.to(torch.float32).contiguous(), size)


def backward(x: Tensor, map: Tensor, norm: Tensor, grad_map: Tensor, size: Sequence[int]) -> Tensor:
    """Gradient ``[B, H, W, C]`` of the features, in their dtype."""
    if not _is_readable(x):
        return empty_gradient(x).copy_(backward(x.contiguous(), map, norm, grad_map, size))
    gradient = empty_gradient(x)
    images, height, width, channels = x.shape
    if images == 0:
        return gradient
    map, norm, grad_map = (t.to(torch.float32).contiguous() for t in (map, norm, grad_map))
    resized = (height, width) != tuple(size)
    positions, taps = height * width, STENCIL if resized else 1
    weights = torch.empty(images, taps, positions, device=x.device)
    block = min(1024, max(16, triton.next_power_of_2(positions)))
    config = pick_backward(positions, channels)
    with torch.cuda.device_of(x):
        _weight_kernel[(images, triton.cdiv(positions, block), taps)](
            map,
            norm,
            grad_map,
            weights,
            height,
            width,
            size[0],
            size[1],
            2 * size[0] // height + 2,
            2 * size[1] // width + 2,
            2 / channels,
            RESIZED=resized,
            BLOCK=block,
            num_warps=FINISH_WARPS,
        )
        _gradient_kernel[(images, triton.cdiv(positions, config.positions))](
            x,
            weights,
            gradient,
            height,
            width,
            channels,
            TAPS=taps,
            BLOCK_P=config.positions,
            BLOCK_C=config.channels,
            num_warps=config.warps,
            **_layout(x, resized),
        )
    return gradient


def _forward(
    x: Tensor, teacher: Tensor | None, size: Sequence[int]
) -> tuple[Tensor, Tensor, Tensor]:
    x = x if _is_readable(x) else x.contiguous()
    images, height, width, channels = x.shape
    positions = size[0] * size[1]
    values = torch.empty(images, positions, device=x.device)
    norm, result = torch.empty(images, device=x.device), torch.empty(images, device=x.device)
    if images == 0:
        return result, values, norm
    resized = (height, width) != tuple(size)
    layout = _layout(x, resized)
    config = pick(positions, channels, resized, layout["ADJACENT"])
    # The mean without its overflow: squares are scaled by a power of two, which is exact, before
    # they are added; grow, in [1, 2), completes the division by the number of channels.
    shrink = 2.0 ** -(channels - 1).bit_length()
    grow = 1 / (shrink * channels)
    compared = {
        "teacher": values if teacher is None else teacher,
        "teacher_rows": 1 if teacher is None else teacher.shape[0],
        "distance": result,
        "COMPARED": teacher is not None,
    }
    whole = positions <= ONE_PROGRAM
    with torch.cuda.device_of(x):
        _map_kernel[(images, triton.cdiv(positions, config.positions))](
            x,
            values,
            norm,
            **compared,
            height=height,
            width=width,
            channels=channels,
            out_height=size[0],
            out_width=size[1],
            shrink=shrink,
            grow=grow,
            WHOLE=whole,
            RESIZED=resized,
            BLOCK_P=config.positions,
            BLOCK_C=config.channels,
            num_warps=config.warps,
            **layout,
        )
        if not whole:
            _normalise_kernel[(images,)](
                values,
                norm,
                **compared,
                positions=positions,
                grow=grow,
                BLOCK=FINISH_BLOCK,
                num_warps=FINISH_WARPS,
            )
    return result, values, norm


def _is_readable(x: Tensor) -> bool:
    """Whether tiles of ``x`` are runs of memory: channels or columns are adjacent."""
    return x.stride(3) == 1 or x.stride(2) == 1


def _layout(x: Tensor, resized: bool) -> dict[str, Any]:
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


_LAYOUT = ["image_units", "row_units", "slow_units", "fast_units"]
_GRID = ["height", "width", "channels", "out_height", "out_width"]


@triton.jit(do_not_specialize=["teacher_rows", *_GRID, *_LAYOUT])
def _map_kernel(
    x,
    values,
    norm,
    teacher,
    teacher_rows,
    distance,
    height,
    width,
    channels,
    out_height,
    out_width,
    shrink,
    grow,
    image_units,
    row_units,
    slow_units,
    fast_units,
    COMPARED: tl.constexpr,
    WHOLE: tl.constexpr,
    RESIZED: tl.constexpr,
    ADJACENT: tl.constexpr,
    JOINED: tl.constexpr,
    UNIT: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """Channel means of squares ``[B, H* W*]``; the normalised map where a program has all of it."""
    image = tl.program_id(0).to(tl.int64)
    p = tl.program_id(1) * BLOCK_P + tl.arange(0, BLOCK_P)
    positions = out_height * out_width
    if ADJACENT:
        row_stride, column_stride, channel_stride = row_units * UNIT, slow_units * UNIT, 1
        channels = fast_units * UNIT
        inside = p < positions
    else:
        row_stride, column_stride, channel_stride = row_units, 1, slow_units * UNIT
        inside = p < (positions if RESIZED else fast_units * UNIT)
    x += image * image_units * UNIT

    if RESIZED:
        top, y_weight = _tap(p // out_width, height, out_height)
        left, x_weight = _tap(p % out_width, width, out_width)
        bottom = tl.minimum(top + 1, height - 1)
        right = tl.minimum(left + 1, width - 1)
        top, bottom = top.to(tl.int64) * row_stride, bottom.to(tl.int64) * row_stride
        left, right = left.to(tl.int64) * column_stride, right.to(tl.int64) * column_stride
    else:
        at = _offset(p, width, row_stride, column_stride, JOINED)

    sums = tl.zeros([BLOCK_P, BLOCK_C], tl.float32)
    for begin in range(0, channels, BLOCK_C):
        c = begin + tl.arange(0, BLOCK_C)
        mask = inside[:, None] & (c < channels)[None, :]
        channel = x + (c.to(tl.int64) * channel_stride)[None, :]
        if RESIZED:
            value = _load(channel, top + left, mask) * ((1 - y_weight) * (1 - x_weight))[:, None]
            value += _load(channel, top + right, mask) * ((1 - y_weight) * x_weight)[:, None]
            value += _load(channel, bottom + left, mask) * (y_weight * (1 - x_weight))[:, None]
            value += _load(channel, bottom + right, mask) * (y_weight * x_weight)[:, None]
        else:
            value = _load(channel, at, mask)
        sums += value * (value * shrink)
    mean = tl.sum(sums, 1)

    if WHOLE:
        wide = mean.to(tl.float64)
        factor = _factor(norm + image, tl.sum(wide * wide, 0), grow)
        wide *= factor
        tl.store(values + image * positions + p, wide.to(tl.float32), mask=p < positions)
        if COMPARED:
            squares = _squared_difference(teacher, image % teacher_rows, positions, p, wide)
            tl.store(distance + image, (tl.sum(squares, 0) / positions).to(tl.float32))
    else:
        tl.store(values + image * positions + p, mean, mask=p < positions)


@triton.jit(do_not_specialize=["teacher_rows", "positions"])
def _normalise_kernel(
    values,
    norm,
    teacher,
    teacher_rows,
    distance,
    positions,
    grow,
    COMPARED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Normalise the channel means of one image in place."""
    image = tl.program_id(0).to(tl.int64)
    values += image * positions
    sums = tl.zeros([BLOCK], tl.float64)
    for begin in range(0, positions, BLOCK):
        p = begin + tl.arange(0, BLOCK)
        wide = tl.load(values + p, mask=p < positions, other=0.0).to(tl.float64)
        sums += wide * wide
    factor = _factor(norm + image, tl.sum(sums, 0), grow)
    sums = tl.zeros([BLOCK], tl.float64)
    for begin in range(0, positions, BLOCK):
        p = begin + tl.arange(0, BLOCK)
        wide = tl.load(values + p, mask=p < positions, other=0.0).to(tl.float64) * factor
        tl.store(values + p, wide.to(tl.float32), mask=p < positions)
        if COMPARED:
            sums += _squared_difference(teacher, image % teacher_rows, positions, p, wide)
    if COMPARED:
        tl.store(distance + image, (tl.sum(sums, 0) / positions).to(tl.float32))


@triton.jit(do_not_specialize=["height", "width", "out_height", "out_width", "rows", "columns"])
def _weight_kernel(
    values,
    norm,
    grad_map,
    weights,
    height,
    width,
    out_height,
    out_width,
    rows,
    columns,
    two_over_channels,
    RESIZED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Weights ``[B, taps, H W]`` of the gradient's stencil, taps in row-major order.

    With ``s = (2 / C) (g - a (g . a)) / n`` above the floor, ``(2 / C) g / floor`` at it, and R the
    resize, the gradient is ``R^T diag(s) R x``. Without a resize the only tap is s.
    ``rows`` and ``columns`` bound how many rows and columns of the map touch one of the features.
    """
    image = tl.program_id(0).to(tl.int64)
    q = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    tap = tl.program_id(2)
    positions = out_height * out_width
    values += image * positions
    grad_map += image * positions

    sums = tl.zeros([BLOCK], tl.float64)
    for begin in range(0, positions, BLOCK):
        p = begin + tl.arange(0, BLOCK)
        a = tl.load(values + p, mask=p < positions, other=0.0).to(tl.float64)
        sums += a * tl.load(grad_map + p, mask=p < positions, other=0.0).to(tl.float64)
    length = tl.load(norm + image).to(tl.float64)
    low = length <= NORM_FLOOR
    projection = tl.where(low, 0.0, tl.sum(sums, 0))
    factor = two_over_channels / tl.where(low, NORM_FLOOR, length)

    inside = q < height * width
    if RESIZED:
        h, w = q // width, q % width
        near_h, near_w = h + tap // 3 - 1, w + tap % 3 - 1
        first_y, first_x = _first(h, height, out_height), _first(w, width, out_width)
        weight = tl.zeros([BLOCK], tl.float32)
        for row in range(0, rows):
            y = first_y + row
            y_weight = _hat(y, h, height, out_height) * _hat(y, near_h, height, out_height)
            for column in range(0, columns):
                x = first_x + column
                x_weight = _hat(x, w, width, out_width) * _hat(x, near_w, width, out_width)
                touched = inside & (y < out_height) & (x < out_width)
                p = y * out_width + x
                s = _scale(values, grad_map, p, touched, projection, factor)
                weight += s * (y_weight * x_weight)
    else:
        weight = _scale(values, grad_map, q, inside, projection, factor)
    start = (image * tl.num_programs(2) + tap) * height * width
    tl.store(weights + start + q, weight, mask=inside)


@triton.jit(do_not_specialize=["height", "width", "channels", *_LAYOUT])
def _gradient_kernel(
    x,
    weights,
    gradient,
    height,
    width,
    channels,
    image_units,
    row_units,
    slow_units,
    fast_units,
    TAPS: tl.constexpr,
    ADJACENT: tl.constexpr,
    JOINED: tl.constexpr,
    UNIT: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """Apply the stencil to every channel; the gradient is dense, with the adjacent axis of x."""
    image = tl.program_id(0).to(tl.int64)
    p = tl.program_id(1) * BLOCK_P + tl.arange(0, BLOCK_P)
    positions = height * width
    if ADJACENT:
        row_stride, column_stride, channel_stride = row_units * UNIT, slow_units * UNIT, 1
        channels = fast_units * UNIT
        out_position, out_channel = channels, 1
    else:
        row_stride, column_stride, channel_stride = row_units, 1, slow_units * UNIT
        if TAPS == 1 and JOINED:
            positions = fast_units * UNIT
        out_position, out_channel = 1, positions
    inside = p < positions
    x += image * image_units * UNIT
    weights += image * TAPS * positions
    gradient += image * positions * channels
    at = _offset(p, width, row_stride, column_stride, JOINED)
    to = p.to(tl.int64) * out_position
    h, w = p // width, p % width

    for begin in range(0, channels, BLOCK_C):
        c = begin + tl.arange(0, BLOCK_C)
        valid = (c < channels)[None, :]
        channel = x + (c.to(tl.int64) * channel_stride)[None, :]
        if TAPS == 1:
            weight = tl.load(weights + p, mask=inside, other=0.0)
            value = weight[:, None] * _load(channel, at, inside[:, None] & valid)
        else:
            value = tl.zeros([BLOCK_P, BLOCK_C], tl.float32)
            for tap in range(0, TAPS):
                down, right = tap // 3 - 1, tap % 3 - 1
                near = inside & (h + down >= 0) & (h + down < height)
                near = near & (w + right >= 0) & (w + right < width)
                weight = tl.load(weights + tap * positions + p, mask=near, other=0.0)
                # What the map has not read has no say, even where it is not a number.
                near = near & (weight != 0)
                shift = down * row_stride.to(tl.int64) + right * column_stride
                value += weight[:, None] * _load(channel, at + shift, near[:, None] & valid)
        out = gradient + to[:, None] + (c.to(tl.int64) * out_channel)[None, :]
        tl.store(out, value.to(gradient.dtype.element_ty), mask=inside[:, None] & valid)


@triton.jit
def _offset(p, width, row_stride, column_stride, JOINED: tl.constexpr):
    """Elements from the first position of an image to positions ``p``."""
    if JOINED:
        at = p.to(tl.int64) * column_stride
    else:
        at = (p // width).to(tl.int64) * row_stride + (p % width).to(tl.int64) * column_stride
    return at


@triton.jit
def _load(channel, at, mask):
    return tl.load(channel + at[:, None], mask=mask, other=0.0).to(tl.float32)


@triton.jit
def _tap(o, size, out_size):
    """Lower tap of output index ``o`` along one axis and the weight of the upper, half-pixel
    centres: coordinate ``max(0, (o + 1/2) size / out_size - 1/2)``, in integers until the weight.
    """
    numerator = tl.maximum((2 * o + 1) * size - out_size, 0)
    low = numerator // (2 * out_size)
    return low, (numerator - low * (2 * out_size)).to(tl.float32) / (2 * out_size)


@triton.jit
def _hat(o, index, size, out_size):
    """Weight of input ``index`` in output ``o``."""
    low, weight = _tap(o, size, out_size)
    high = tl.minimum(low + 1, size - 1)
    return tl.where(low == index, 1 - weight, 0.0) + tl.where(high == index, weight, 0.0)


@triton.jit
def _first(index, size, out_size):
    """First output whose taps may include input ``index``: lower tap ``index - 1`` or above."""
    numerator = tl.maximum((2 * index - 1) * out_size - size, 0)
    return (numerator + 2 * size - 1) // (2 * size)


@triton.jit
def _factor(norm, squares, grow):
    """Store the norm, and return what makes scaled means a map; a NaN passes the floor."""
    length = tl.sqrt(squares) * grow
    tl.store(norm, length.to(tl.float32))
    return grow / tl.where(length <= NORM_FLOOR, NORM_FLOOR, length)


@triton.jit
def _squared_difference(teacher, row, positions, p, value):
    t = tl.load(teacher + row * positions + p, mask=p < positions, other=0.0).to(tl.float64)
    return tl.where(p < positions, (t - value) * (t - value), 0.0)


@triton.jit
def _scale(values, grad_map, p, mask, projection, factor):
    g = tl.load(grad_map + p, mask=mask, other=0.0).to(tl.float64)
    a = tl.load(values + p, mask=mask, other=0.0).to(tl.float64)
    return tl.where(mask, (g - a * projection) * factor, 0.0).to(tl.float32)
