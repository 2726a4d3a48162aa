"""Every Triton kernel in every dtype, with the smallest, a typical and the largest tile.

Operands are on the meta device: they have a shape, a dtype and strides, and no memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from tvtfast.kernels import pack_segments, pack_slices
from tvtfast.kernels.self_attention_stats.definition import STATISTICS
from tvtfast.kernels.slice_norms.definition import Prepared

from .compiling import (
    DTYPES,
    KERNELS,
    angle_distance,
    arguments_of,
    attention_block,
    attention_jvp,
    attention_map,
    attention_map_backward,
    attention_map_distances,
    gram,
    indexed,
    launches_compile,
    mlp_block,
    segment_norms,
    self_attention_stats,
    slice_norms,
)

HALF = (torch.float16, torch.bfloat16)
SIZES = ("smallest", "typical", "largest")


def empty(*shape: int, dtype: torch.dtype) -> Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


def views(dtype: torch.dtype, grid: int, channels: int) -> tuple[Tensor, Tensor]:
    """Features ``[B, H, W, C]`` whose channels, or whose positions, are adjacent."""
    tokens = empty(2, 1 + grid * grid, channels, dtype=dtype)[:, 1:]
    planes = empty(2, channels, grid, grid, dtype=dtype)
    return tokens.unflatten(1, (grid, grid)), planes.permute(0, 2, 3, 1)


def maps(dtype: torch.dtype, size: str) -> None:
    """Maps and gradients, also resized; the widest tile is that of the largest map of one
    program."""
    channels = {"smallest": 1, "typical": 216, "largest": 1024}[size]
    grids = {"smallest": ((1, 1), (1, 2)), "typical": ((14, 14), (8, 14))}
    for grid, target in grids.get(size, ((32, 32), (16, 32), (56, 56))):
        for x in views(dtype, grid, channels):
            teacher = empty(1, target * target, dtype=torch.float32)
            call = arguments_of("attention_map_distance", x, teacher, (target, target))
            _, values, norm = attention_map.distance(call)
            gradient = (x, values, norm, values, (target, target))
            attention_map_backward.backward(arguments_of("attention_map_backward", *gradient))


def distances(dtype: torch.dtype, size: str) -> None:
    widths = {"smallest": (1,), "typical": (192, 216), "largest": (7, 1024)}[size]
    grid, target = {"smallest": (1, 1), "typical": (8, 14), "largest": (32, 32)}[size]
    for layout in (0, 1):
        xs = [views(dtype, grid, channels)[layout] for channels in widths]
        teacher = empty(1, target * target, dtype=torch.float32)
        call = arguments_of("attention_map_distances", xs, teacher, (target, target))
        attention_map_distances.distances(call)


def products(dtype: torch.dtype, size: str) -> None:
    rows, length = {"smallest": (1, 1), "typical": (64, 42336), "largest": (216, 150528)}[size]
    x, y = empty(2, rows, length, dtype=dtype), empty(1, 33, length, dtype=dtype)
    for one, other, relative in ((x, None, False), (x, None, True), (x, y, False)):
        gram.forward(arguments_of("gram", one, other, relative))
    gram.forward(arguments_of("gram", empty(2, length, rows, dtype=dtype).mT, None, False))


def angles(dtype: torch.dtype, size: str) -> None:
    samples = {"smallest": 1, "typical": 64, "largest": 1024}[size]
    student, teacher = (empty(n, samples, samples, dtype=dtype) for n in (2, 1))
    angle_distance.forward(arguments_of("angle_distance", student, teacher))


def segments(dtype: torch.dtype, size: str) -> None:
    length = {"smallest": 1, "typical": 41472, "largest": 2**31 + 1}[size]
    segment_norms.norms(arguments_of("segment_norms", pack_segments([empty(length, dtype=dtype)])))
    unaligned = empty(length + 1, dtype=dtype)[1:]
    segment_norms.norms(arguments_of("segment_norms", pack_segments([unaligned])))


def slices(dtype: torch.dtype, size: str) -> None:
    rows, columns = {"smallest": (1, 1), "typical": (640, 216), "largest": (65536, 32776)}[size]
    table = pack_slices([(rows, columns)])
    slice_norms.norms(Prepared(empty(rows, columns, dtype=dtype), table))
    slice_norms.norms(Prepared(empty(columns, rows, dtype=dtype).t(), table))


def numbers(dtype: torch.dtype, size: str) -> None:
    shape = {"smallest": (), "typical": (640, 216), "largest": (65536, 4, 4, 4096)}[size]
    for fill in (indexed.normal_, indexed.uniform_):
        name = f"indexed_{fill.__name__}"
        fill(arguments_of(name, empty(*shape, dtype=dtype), -5, 0.5, 2.0))


def tangents(dtype: torch.dtype, size: str) -> None:
    tokens, channels = {"smallest": (1, 1), "typical": (197, 64), "largest": (784, 128)}[size]
    both = empty(2, 2, tokens, 3, 4, channels, dtype=dtype)
    dual = both.permute(0, 3, 1, 4, 2, 5).flatten(0, 1).unbind(0)
    attention_jvp.forward(arguments_of("attention_jvp", *dual, 0.125))


def statistics(dtype: torch.dtype, size: str) -> None:
    """In fp32 the narrowest heads are multiplied at once, wider ones in steps."""
    tokens, channels = {"smallest": (1, 1), "typical": (197, 64), "largest": (577, 256)}[size]
    q, k, _ = empty(2, tokens, 3, 4, channels, dtype=dtype).permute(2, 0, 3, 1, 4).unbind(0)
    teacher = empty(2, tokens, dtype=torch.float32)
    call = arguments_of("self_attention_stats", q, k, teacher, 0.125, STATISTICS)
    self_attention_stats.stats(call)


def mlp(dtype: torch.dtype, size: str) -> None:
    shapes = {"smallest": (1, 4, (4,)), "typical": (197, 192, (672, 768))}
    rows, channels, hidden = shapes.get(size, (12608, 256, (64, 132, 200, 1024)))
    x, w1 = empty(rows, channels, dtype=dtype), empty(hidden[-1], channels, dtype=dtype)
    w2, out = (empty(*n, dtype=dtype) for n in ((channels, hidden[-1]), (len(hidden), *x.shape)))
    for b1, b2 in ((None, None), (w1[:, 0], x[0])):
        mlp_block.write(arguments_of("mlp_block", x, w1, b1, w2, b2, hidden, 1e-6, out))


def attention(dtype: torch.dtype, size: str) -> None:
    shapes: dict[str, Any] = {"smallest": (1, 2, 2, (1,)), "typical": (197, 192, 64, (3,))}
    tokens, channels, dim, heads = shapes.get(size, (577, 256, 80, (1, 2, 3, 4)))
    inner = heads[-1] * dim
    x, w_qkv = empty(2, tokens, channels, dtype=dtype), empty(3 * inner, channels, dtype=dtype)
    w_proj, out = empty(channels, inner, dtype=dtype), empty(len(heads), *x.shape, dtype=dtype)
    for b_qkv, b_proj in ((None, None), (w_qkv[:, 0], w_proj[:, 0])):
        given = (x, w_qkv, b_qkv, w_proj, b_proj, heads, 1e-6, out)
        attention_block.write(arguments_of("attention_block", *given))


CALLS: dict[Callable[[torch.dtype, str], None], tuple[tuple[Any, ...], tuple[torch.dtype, ...]]] = {
    maps: ((attention_map, attention_map_backward), DTYPES),
    distances: ((attention_map_distances,), DTYPES),
    products: ((gram,), DTYPES),
    angles: ((angle_distance,), (torch.float32,)),
    segments: ((segment_norms,), DTYPES),
    slices: ((slice_norms,), DTYPES),
    numbers: ((indexed,), (*DTYPES, torch.float64)),
    tangents: ((attention_jvp,), DTYPES),
    statistics: ((self_attention_stats,), DTYPES),
    mlp: ((mlp_block,), HALF),
    attention: ((attention_block,), HALF),
}
"""What launches kernels, whose kernels, and the dtypes that they differ by."""
COPIED = (distances, segments, slices)
"""What copies a table to the device, and so asks first whether a stream is captured."""


class Copies(TorchDispatchMode):
    """Counts copies from the host. A value that was read, and so waited for, would be an error:
    operands have none."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: Any = (), options: Any = None
    ) -> Any:
        result = function(*arguments, **(options or {}))
        first = arguments[0] if arguments else None
        from_host = isinstance(first, Tensor) and first.device.type == "cpu"
        self.count += from_host and isinstance(result, Tensor) and result.is_meta
        return result


def cases() -> list[Any]:
    """The smallest tiles, which fit anywhere, are read for one architecture; those of one dtype are
    the short tests."""
    return [
        pytest.param(
            call,
            dtype,
            size,
            architecture,
            id=f"{call.__name__}-{str(dtype).removeprefix('torch.')}-{size}-sm_{architecture}",
            marks=() if (size, dtype) == ("smallest", dtypes[0]) else pytest.mark.slow,
        )
        for call, (_, dtypes) in CALLS.items()
        for dtype in dtypes
        for size in SIZES
        for architecture in ((90,) if size == "smallest" else (80, 90, 100))
    ]


@pytest.mark.parametrize(("call", "dtype", "size", "architecture"), cases())
def test_it_fits_the_device(
    call: Callable[[torch.dtype, str], None], dtype: torch.dtype, size: str, architecture: int
) -> None:
    modules, _ = CALLS[call]
    with launches_compile(architecture) as compiled, Copies() as copies:
        call(dtype, size)
    assert bool(copies.count) == (call in COPIED)
    launched = {name for name, kernels in compiled.items() if kernels}
    own = {name for module in modules for name in KERNELS[module]}
    assert launched and launched <= own
    # a whole map of few positions needs no second launch, nor does a short sum
    assert size != "largest" or launched == own


def test_every_kernel_has_its_call() -> None:
    assert {module for modules, _ in CALLS.values() for module in modules} == set(KERNELS)
