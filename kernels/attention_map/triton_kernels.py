"""Attention maps in Triton: one read of the features, no resized or squared copy.

Up to :data:`ONE_PROGRAM` positions one program makes the whole map of an image; above, one launch
sums channels in blocks of positions and a second normalises each image.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import triton
import triton.language as tl
from torch import Tensor

from ..attention_map_distance.definition import Arguments as DistanceArguments
from ..features.layout import walkable
from ..features.tiles import LAYOUT, Tile, channel_means, layout
from .definition import Arguments

ONE_PROGRAM = 1024
FINISH_BLOCK = 512
FINISH_WARPS = 4
NORM_FLOOR = tl.constexpr(1e-12)


def pick(positions: int, channels: int, resized: bool, adjacent: bool) -> Tile:
    """Tile of the sum over channels, all positions of a map in one where they fit.

    A resized tile is four loads deep and holds fewer values; fewer still where channels are apart
    and every value has an address of its own.
    """
    rows = max(16, triton.next_power_of_2(positions)) if positions <= ONE_PROGRAM else 128
    elements = (4096 if adjacent else 1024) if resized else 8192
    columns = min(elements // rows, 128, max(8, triton.next_power_of_2(channels)))
    return Tile(rows, columns, 8 if rows >= 256 or rows * columns > 2048 else 4)


def scaling(channels: int) -> tuple[float, float]:
    """Factors of the mean over channels, without its overflow.

    Squares are scaled by ``shrink``, a power of two, which is exact, before they are added;
    ``grow``, in [1, 2), completes the division by the number of channels. Both are fp32 numbers.
    """
    shrink = 2.0 ** -(channels - 1).bit_length()
    return shrink, float(np.float32(1 / (shrink * channels)))


def forward(call: Arguments) -> tuple[Tensor, Tensor]:
    """Map ``[B, H* W*]`` and norm ``[B]`` of features ``[B, H, W, C]``."""
    _, values, norm = _forward(call.x, None, call.size)
    return values, norm


def distance(call: DistanceArguments) -> tuple[Tensor, Tensor, Tensor]:
    """Distance ``[B]``, map and norm; image ``b`` meets row ``b % T`` of the teacher ``[T, N]``."""
    return _forward(call.x, call.teacher.to(torch.float32).contiguous(), call.size)


def _forward(
    x: Tensor, teacher: Tensor | None, size: Sequence[int]
) -> tuple[Tensor, Tensor, Tensor]:
    x = walkable(x)
    images, height, width, channels = x.shape
    positions = size[0] * size[1]
    values = torch.empty(images, positions, device=x.device)
    norm, result = torch.empty(images, device=x.device), torch.empty(images, device=x.device)
    if images == 0:
        return result, values, norm
    resized = (height, width) != tuple(size)
    strides = layout(x, resized)
    tile = pick(positions, channels, resized, strides["ADJACENT"])
    shrink, grow = scaling(channels)
    compared = {
        "teacher": values if teacher is None else teacher,
        "teacher_rows": 1 if teacher is None else teacher.shape[0],
        "distance": result,
        "COMPARED": teacher is not None,
    }
    whole = positions <= ONE_PROGRAM
    with torch.cuda.device_of(x):
        _map_kernel[(images, triton.cdiv(positions, tile.positions))](
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
            BLOCK_P=tile.positions,
            BLOCK_C=tile.channels,
            num_warps=tile.warps,
            **strides,
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


_GRID = ["height", "width", "channels", "out_height", "out_width"]


@triton.jit(do_not_specialize=["teacher_rows", *_GRID, *LAYOUT])
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
    p = tl.program_id(1) * BLOCK_P + tl.arange(0, BLOCK_P)  # [BLOCK_P]
    mean = channel_means(
        x + image * image_units * UNIT,
        p,
        (height, width, out_height, out_width),
        (row_units, slow_units, fast_units),
        channels,
        shrink,
        RESIZED,
        ADJACENT,
        JOINED,
        UNIT,
        BLOCK_P,
        BLOCK_C,
    )  # [BLOCK_P]
    positions = out_height * out_width
    if WHOLE:
        wide = mean.to(tl.float64)  # [BLOCK_P]
        length = tl.sqrt(tl.sum(wide * wide, 0)) * grow
        tl.store(norm + image, length.to(tl.float32))
        wide *= factor(length, grow)
        tl.store(values + image * positions + p, wide.to(tl.float32), mask=p < positions)
        if COMPARED:
            squares = squared_difference(
                teacher, image % teacher_rows, positions, p, wide
            )  # [BLOCK_P]
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
    sums = tl.zeros([BLOCK], tl.float64)  # [BLOCK]
    for begin in range(0, positions, BLOCK):
        p = begin + tl.arange(0, BLOCK)  # [BLOCK]
        wide = tl.load(values + p, mask=p < positions, other=0.0).to(tl.float64)  # [BLOCK]
        sums += wide * wide
    length = tl.sqrt(tl.sum(sums, 0)) * grow
    tl.store(norm + image, length.to(tl.float32))
    scale = factor(length, grow)
    sums = tl.zeros([BLOCK], tl.float64)  # [BLOCK]
    for begin in range(0, positions, BLOCK):
        p = begin + tl.arange(0, BLOCK)  # [BLOCK]
        wide = tl.load(values + p, mask=p < positions, other=0.0).to(tl.float64) * scale  # [BLOCK]
        tl.store(values + p, wide.to(tl.float32), mask=p < positions)
        if COMPARED:
            sums += squared_difference(teacher, image % teacher_rows, positions, p, wide)
    if COMPARED:
        tl.store(distance + image, (tl.sum(sums, 0) / positions).to(tl.float32))


@triton.jit
def factor(length, grow):
    """What makes scaled means of norm ``length`` a map; a NaN passes the floor."""
    return grow / tl.where(length <= NORM_FLOOR, NORM_FLOOR, length)


@triton.jit
def squared_difference(teacher, row, positions, p, value):
    t = tl.load(teacher + row * positions + p, mask=p < positions, other=0.0).to(tl.float64)  # [P]
    return tl.where(p < positions, (t - value) * (t - value), 0.0)  # [P]
