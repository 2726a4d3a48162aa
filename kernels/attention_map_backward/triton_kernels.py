"""Gradient of attention maps in Triton.

The gradient is a stencil: the adjoint of a bilinear resize, times the gradient of the map, times
the resize links a position to its eight neighbours only, so their weights are found once per image
and applied to all channels.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..attention_map.triton_kernels import NORM_FLOOR
from ..features.layout import empty_gradient, is_walkable
from ..features.tiles import LAYOUT, Tile, bilinear_tap, layout, load, offset
from .definition import Arguments

STENCIL = 9
WEIGHT_WARPS = 4


def pick(positions: int, channels: int) -> Tile:
    """Tile of the gradient."""
    columns = min(64, max(8, triton.next_power_of_2(channels)))
    rows = min(max(16, triton.next_power_of_2(positions)), 2048 // columns)
    return Tile(rows, columns, 4)


def backward(call: Arguments) -> Tensor:
    """Gradient ``[B, H, W, C]`` of the features, in their dtype."""
    x, size = call.x, call.size
    if not is_walkable(x):
        return empty_gradient(x).copy_(backward(call._replace(x=x.contiguous())))
    gradient = empty_gradient(x)
    images, height, width, channels = x.shape
    if images == 0:
        return gradient
    map, norm, grad_map = (t.to(torch.float32).contiguous() for t in call[1:4])
    resized = (height, width) != tuple(size)
    positions, taps = height * width, STENCIL if resized else 1
    weights = torch.empty(images, taps, positions, device=x.device)
    block = min(1024, max(16, triton.next_power_of_2(positions)))
    tile = pick(positions, channels)
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
            num_warps=WEIGHT_WARPS,
        )
        _gradient_kernel[(images, triton.cdiv(positions, tile.positions))](
            x,
            weights,
            gradient,
            height,
            width,
            channels,
            TAPS=taps,
            BLOCK_P=tile.positions,
            BLOCK_C=tile.channels,
            num_warps=tile.warps,
            **layout(x, resized),
        )
    return gradient


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
    q = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)  # [BLOCK]
    tap = tl.program_id(2)
    positions = out_height * out_width
    values += image * positions
    grad_map += image * positions

    sums = tl.zeros([BLOCK], tl.float64)  # [BLOCK]
    for begin in range(0, positions, BLOCK):
        p = begin + tl.arange(0, BLOCK)  # [BLOCK]
        a = tl.load(values + p, mask=p < positions, other=0.0).to(tl.float64)  # [BLOCK]
        sums += a * tl.load(grad_map + p, mask=p < positions, other=0.0).to(tl.float64)  # [BLOCK]
    length = tl.load(norm + image).to(tl.float64)  # []
    low = length <= NORM_FLOOR
    projection = tl.where(low, 0.0, tl.sum(sums, 0))
    factor = two_over_channels / tl.where(low, NORM_FLOOR, length)

    inside = q < height * width
    if RESIZED:
        h, w = q // width, q % width
        near_h, near_w = h + tap // 3 - 1, w + tap % 3 - 1
        first_y, first_x = _first(h, height, out_height), _first(w, width, out_width)
        weight = tl.zeros([BLOCK], tl.float32)  # [BLOCK]
        for row in range(0, rows):
            y = first_y + row
            y_weight = _hat(y, h, height, out_height) * _hat(y, near_h, height, out_height)
            for column in range(0, columns):
                x = first_x + column
                x_weight = _hat(x, w, width, out_width) * _hat(x, near_w, width, out_width)
                touched = inside & (y < out_height) & (x < out_width)
                p = y * out_width + x
                s = _scale(values, grad_map, p, touched, projection, factor)  # [BLOCK]
                weight += s * (y_weight * x_weight)
    else:
        weight = _scale(values, grad_map, q, inside, projection, factor)  # [BLOCK]
    start = (image * tl.num_programs(2) + tap) * height * width
    tl.store(weights + start + q, weight, mask=inside)


@triton.jit(do_not_specialize=["height", "width", "channels", *LAYOUT])
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
    p = tl.program_id(1) * BLOCK_P + tl.arange(0, BLOCK_P)  # [BLOCK_P]
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
    at = offset(p, width, row_stride, column_stride, JOINED)  # [BLOCK_P]
    to = p.to(tl.int64) * out_position  # [BLOCK_P]
    h, w = p // width, p % width

    for begin in range(0, channels, BLOCK_C):
        c = begin + tl.arange(0, BLOCK_C)  # [BLOCK_C]
        valid = (c < channels)[None, :]  # [1, BLOCK_C]
        channel = x + (c.to(tl.int64) * channel_stride)[None, :]  # [1, BLOCK_C]
        if TAPS == 1:
            weight = tl.load(weights + p, mask=inside, other=0.0)  # [BLOCK_P]
            value = weight[:, None] * load(
                channel, at, inside[:, None] & valid
            )  # [BLOCK_P, BLOCK_C]
        else:
            value = tl.zeros([BLOCK_P, BLOCK_C], tl.float32)  # [BLOCK_P, BLOCK_C]
            for tap in range(0, TAPS):
                down, right = tap // 3 - 1, tap % 3 - 1
                near = inside & (h + down >= 0) & (h + down < height)
                near = near & (w + right >= 0) & (w + right < width)
                weight = tl.load(weights + tap * positions + p, mask=near, other=0.0)  # [BLOCK_P]
                # What the map has not read has no say, even where it is not a number.
                near = near & (weight != 0)
                shift = down * row_stride.to(tl.int64) + right * column_stride
                value += weight[:, None] * load(channel, at + shift, near[:, None] & valid)
        out = gradient + to[:, None] + (c.to(tl.int64) * out_channel)[None, :]  # [BLOCK_P, BLOCK_C]
        tl.store(out, value.to(gradient.dtype.element_ty), mask=inside[:, None] & valid)


@triton.jit
def _hat(o, index, size, out_size):
    """Weight of input ``index`` in output ``o``."""
    low, weight = bilinear_tap(o, size, out_size)
    high = tl.minimum(low + 1, size - 1)
    return tl.where(low == index, 1 - weight, 0.0) + tl.where(high == index, weight, 0.0)


@triton.jit
def _first(index, size, out_size):
    """First output whose taps may include input ``index``: lower tap ``index - 1`` or above."""
    numerator = tl.maximum((2 * index - 1) * out_size - size, 0)
    return (numerator + 2 * size - 1) // (2 * size)


@triton.jit
def _scale(values, grad_map, p, mask, projection, factor):
    g = tl.load(grad_map + p, mask=mask, other=0.0).to(tl.float64)  # [BLOCK]
    a = tl.load(values + p, mask=mask, other=0.0).to(tl.float64)  # [BLOCK]
    return tl.where(mask, (g - a * projection) * factor, 0.0).to(tl.float32)  # [BLOCK]
