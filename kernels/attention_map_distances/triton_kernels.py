"""Distances of features of different widths to one teacher, in one launch per kind of layout.

One program makes the map of one image of one candidate; address, strides and width come from a
table. Tiles are those of the dense form, so both sum in the same order. A list is copied to the
device as a table on every call, which a CUDA graph cannot capture.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
import triton
import triton.language as tl
from torch import Tensor

from ..attention_map import triton_kernels as attention_map
from ..attention_map.triton_kernels import factor, squared_difference
from ..attention_map_distance.definition import Arguments as DistanceArguments
from ..features.layout import walkable
from ..features.tiles import LAYOUT, Tile, channel_means, layout
from ..tiles.alignment import VECTOR_BYTES
from ..tiles.types import TYPES
from .definition import Arguments


@dataclass(frozen=True)
class Kind:
    """What one compiled kernel serves."""

    adjacent: bool
    joined: bool
    unit: int
    aligned: bool
    tile: Tile


def distances(call: Arguments) -> Tensor:
    """Distance ``[K, B]`` of features ``[B, H, W, C_k]``; image ``b`` meets row ``b % T``.

    Maps too large for one program are worth launches of their own, and get them.
    """
    xs, teacher, size = call
    images, height, width = xs[0].shape[:3]
    positions = size[0] * size[1]
    result = torch.empty(len(xs), images, device=xs[0].device)
    if images == 0:
        return result
    if positions > attention_map.ONE_PROGRAM:
        calls = (DistanceArguments(x, teacher, size) for x in xs)
        return torch.stack([attention_map.distance(one)[0] for one in calls])
    xs = [walkable(x) for x in xs]
    teacher = teacher.to(torch.float32).contiguous()
    resized = (height, width) != tuple(size)
    entries: dict[Kind, list[tuple[int, ...]]] = {}
    for row, x in enumerate(xs):
        kind, entry = describe(x, positions, resized)
        entries.setdefault(kind, []).append((row, *entry))
    table = pack(entries.values(), xs[0].device)
    first = 0
    with torch.cuda.device_of(result):
        for kind, members in entries.items():
            _distance_kernel[(len(members) * images,)](
                table,
                table.shape[1],
                first,
                images,
                teacher,
                teacher.shape[0],
                result,
                height,
                width,
                size[0],
                size[1],
                DTYPE=TYPES[xs[0].dtype],
                ALIGNED=kind.aligned,
                RESIZED=resized,
                ADJACENT=kind.adjacent,
                JOINED=kind.joined,
                UNIT=kind.unit,
                BLOCK_P=kind.tile.positions,
                BLOCK_C=kind.tile.channels,
                num_warps=kind.tile.warps,
            )
            first += len(members)
    return result


def describe(x: Tensor, positions: int, resized: bool) -> tuple[Kind, tuple[int, ...]]:
    """Kind of one candidate, and its column of the table: address, layout, channels, factors."""
    channels = x.shape[3]
    strides = layout(x, resized)
    adjacent, joined, unit = strides["ADJACENT"], strides["JOINED"], strides["UNIT"]
    aligned = x.data_ptr() % VECTOR_BYTES == 0
    tile = attention_map.pick(positions, channels, resized, adjacent)
    factors = np.array(attention_map.scaling(channels), np.float32).view(np.int32).tolist()
    counts = (strides[name] for name in LAYOUT)
    return Kind(adjacent, joined, unit, aligned, tile), (
        x.data_ptr(),
        *counts,
        channels,
        *factors,
    )


def pack(entries: Iterable[list[tuple[int, ...]]], device: torch.device) -> Tensor:
    """Table ``[9, K]`` int64: row of the result, then the columns of :func:`describe`."""
    rows = [entry for members in entries for entry in members]
    return torch.tensor(rows, dtype=torch.int64).t().contiguous().to(device)


_GRID = ["height", "width", "out_height", "out_width"]


@triton.jit(do_not_specialize=["count", "first", "images", "teacher_rows", *_GRID])
def _distance_kernel(
    table,
    count,
    first,
    images,
    teacher,
    teacher_rows,
    distance,
    height,
    width,
    out_height,
    out_width,
    DTYPE: tl.constexpr,
    ALIGNED: tl.constexpr,
    RESIZED: tl.constexpr,
    ADJACENT: tl.constexpr,
    JOINED: tl.constexpr,
    UNIT: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    entry = table + first + tl.program_id(0) // images
    image = (tl.program_id(0) % images).to(tl.int64)
    row = tl.load(entry)  # []
    x = tl.load(entry + count).to(tl.pointer_type(DTYPE))  # []
    if ALIGNED:
        x = tl.multiple_of(x, 16)
    image_units = tl.load(entry + 2 * count)  # []
    row_units = tl.load(entry + 3 * count)  # []
    slow_units = tl.load(entry + 4 * count)  # []
    fast_units = tl.load(entry + 5 * count).to(tl.int32)  # []
    channels = tl.load(entry + 6 * count).to(tl.int32)  # []
    shrink = tl.load(entry + 7 * count).to(tl.int32).to(tl.float32, bitcast=True)  # []
    grow = tl.load(entry + 8 * count).to(tl.int32).to(tl.float32, bitcast=True)  # []

    p = tl.arange(0, BLOCK_P)  # [BLOCK_P]
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
    wide = mean.to(tl.float64)  # [BLOCK_P]
    length = tl.sqrt(tl.sum(wide * wide, 0)) * grow
    wide *= factor(length, grow)
    squares = squared_difference(teacher, image % teacher_rows, positions, p, wide)  # [BLOCK_P]
    tl.store(distance + row * images + image, (tl.sum(squares, 0) / positions).to(tl.float32))
