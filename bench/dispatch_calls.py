"""Calls of every operator, from the smallest that is possible to those of large models.

A call of the smallest shape is mostly the price of being called, one of the largest is bound by
arithmetic or memory; a rule that chooses a backend has to be right for all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from tvtfast import kernels
from tvtfast.kernels.self_attention_stats.definition import STATISTICS

Arguments = tuple[Any, ...]
"""Of an operator's schema, in their order."""
Builder = Callable[[torch.dtype], Arguments]


def rand(dtype: torch.dtype, *shape: int, scale: float = 1.0) -> Tensor:
    return (scale * torch.randn(shape)).to(dtype)


def attention_block(
    dtype: torch.dtype, images: int, tokens: int, width: int, dim: int, *heads: int
) -> Arguments:
    inner = heads[-1] * dim
    x = rand(dtype, images, tokens, width)
    w_qkv = rand(dtype, 3 * inner, width, scale=width**-0.5)
    w_proj = rand(dtype, width, inner, scale=inner**-0.5)
    out = x.new_empty((len(heads), *x.shape))
    return x, w_qkv, None, w_proj, None, list(heads), 1e-5, out


def attention_jvp(
    dtype: torch.dtype, images: int, heads: int, tokens: int, dim: int, scale: float = 1.0
) -> Arguments:
    """``scale`` is the size of queries and keys: scores of untrained networks are tiny."""
    q, k, v, dq, dk, dv = rand(torch.float32, 6, images, heads, tokens, dim).to(dtype).unbind(0)
    return scale * q, scale * k, v, dq, dk, dv, dim**-0.5


def features(
    dtype: torch.dtype, images: int, side: int, channels: int, layout: str = "tokens"
) -> Tensor:
    if layout == "tokens":
        return rand(dtype, images, side, side, channels)
    return rand(dtype, images, channels, side, side).permute(0, 2, 3, 1)


def teacher_maps(images: int, size: int) -> Tensor:
    return torch.nn.functional.normalize(torch.rand(images, size * size))


def attention_map(
    dtype: torch.dtype, images: int, side: int, channels: int, layout: str, size: int
) -> Arguments:
    return features(dtype, images, side, channels, layout), [size, size]


def attention_map_distance(
    dtype: torch.dtype, images: int, side: int, channels: int, layout: str, size: int
) -> Arguments:
    x = features(dtype, images, side, channels, layout)
    return x, teacher_maps(images, size), [size, size]


def attention_map_backward(
    dtype: torch.dtype, images: int, side: int, channels: int, layout: str, size: int
) -> Arguments:
    x = features(dtype, images, side, channels, layout)
    maps = teacher_maps(images, size)
    return x, maps, 1 + torch.rand(images), torch.randn_like(maps), [size, size]


def attention_map_distances(
    dtype: torch.dtype, count: int, images: int, side: int, channels: int
) -> Arguments:
    xs = [features(dtype, images, side, channels + 8 * (k % 3)) for k in range(count)]
    return xs, teacher_maps(images, side), [side, side]


def gram(
    dtype: torch.dtype, matrices: int, rows: int, length: int, kind: str = "own", others: int = 0
) -> Arguments:
    if kind == "columns":
        return rand(dtype, matrices, length, rows).mT, None, False
    x = rand(dtype, matrices, rows, length)
    return x, rand(dtype, matrices, others, length) if others else None, kind == "relative"


def indexed_normal(dtype: torch.dtype, *shape: int) -> Arguments:
    return torch.empty(shape, dtype=dtype), 7, 0.0, 0.02


def indexed_uniform(dtype: torch.dtype, *shape: int) -> Arguments:
    return torch.empty(shape, dtype=dtype), 7, -1.0, 1.0


def layer_norm(dtype: torch.dtype, rows: int, channels: int) -> Arguments:
    return rand(dtype, rows, channels), 1e-6


def linear(dtype: torch.dtype, rows: int, inputs: int, outputs: int, around: str) -> Arguments:
    """``around``: nothing, ``norm and GELU`` before and behind, or the ``residual`` added."""
    x, out = rand(dtype, rows, inputs), torch.empty(rows, outputs, dtype=dtype)
    weight, bias = rand(dtype, outputs, inputs, scale=inputs**-0.5), rand(dtype, outputs)
    residual = rand(dtype, rows, outputs) if around == "residual" else None
    normed = around == "norm and GELU"
    return out, x, weight, bias, residual, 1e-6 if normed else None, normed


def mlp_block(dtype: torch.dtype, rows: int, width: int, *hidden: int) -> Arguments:
    x = rand(dtype, rows, width)
    w1 = rand(dtype, hidden[-1], width, scale=width**-0.5)
    w2 = rand(dtype, width, hidden[-1], scale=hidden[-1] ** -0.5)
    return x, w1, None, w2, None, list(hidden), 1e-5, x.new_empty((len(hidden), *x.shape))


def packed_attention(
    dtype: torch.dtype, images: int, tokens: int, width: int, heads: int
) -> Arguments:
    return rand(dtype, images, tokens, 3 * width), heads, (width // heads) ** -0.5


def segment_norms(dtype: torch.dtype, kind: str, *lengths: int) -> Arguments:
    tensors = [rand(dtype, length) for length in lengths]
    return (kernels.pack_segments(tensors) if kind == "packed" else tensors,)


def self_attention_stats(
    dtype: torch.dtype, images: int, heads: int, tokens: int, dim: int, statistics: Sequence[str]
) -> Arguments:
    q, k = rand(dtype, 2, images, heads, tokens, dim).unbind(0)
    return q, k, teacher_maps(images, 1).expand(-1, tokens), dim**-0.5, list(statistics)


def slice_norms(dtype: torch.dtype, rows: int, columns: int, count: int) -> Arguments:
    sizes = torch.stack(
        [torch.randint(1, side + 1, (count,), generator=_seeded()) for side in (rows, columns)], 1
    )
    return rand(dtype, rows, columns), sizes


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


MAPS = (
    (1, 1, 1, "tokens", 1),
    (1, 14, 192, "tokens", 14),
    (64, 7, 384, "tokens", 7),
    (64, 14, 192, "tokens", 14),
    (64, 14, 192, "features", 14),
    (16, 24, 384, "tokens", 24),
    (64, 7, 192, "tokens", 14),
    (16, 14, 192, "features", 7),
)
VIT_TINY = (192 * 192 * 3, 192 * 3, 192 * 192, 192, 192 * 768, 768, 768 * 192, 192) * 12
SHAPES: dict[str, tuple[Callable[..., Arguments], tuple[tuple[Any, ...], ...]]] = {
    "attention_block": (
        attention_block,
        (
            (1, 1, 8, 8, 1),
            (1, 50, 192, 64, 3),
            (8, 197, 192, 64, 3),
            (8, 197, 216, 64, 3, 4),
            (2, 577, 384, 64, 6),
        ),
    ),
    "attention_jvp": (
        attention_jvp,
        (
            (1, 1, 1, 1),
            (1, 3, 50, 64),
            (8, 3, 197, 64),
            (2, 6, 577, 64),
            (4, 4, 784, 8, 1e-3),
            (4, 4, 784, 8),
        ),
    ),
    "attention_map": (attention_map, MAPS),
    "attention_map_distance": (attention_map_distance, MAPS),
    "attention_map_backward": (attention_map_backward, MAPS),
    "attention_map_distances": (
        attention_map_distances,
        ((1, 1, 1, 1), (16, 1, 14, 192), (16, 32, 14, 192)),
    ),
    "gram": (
        gram,
        (
            (1, 1, 1),
            (1, 8, 64),
            (1, 64, 3072),
            (1, 64, 37632),
            (1, 64, 37632, "relative"),
            (64, 192, 196),
            (64, 192, 196, "own", 64),
            (64, 192, 196, "columns"),
            (1, 1024, 192),
        ),
    ),
    "indexed_normal_": (indexed_normal, ((1,), (192, 192), (768, 3072))),
    "indexed_uniform_": (indexed_uniform, ((1,), (192, 192), (768, 3072))),
    "layer_norm": (layer_norm, ((1, 1), (1, 192), (197, 192), (1576, 216), (12608, 384))),
    "linear": (
        linear,
        (
            (1, 1, 1, "nothing"),
            (1, 192, 1000, "nothing"),
            (1, 192, 768, "norm and GELU"),
            (4, 192, 1000, "nothing"),
            (8, 768, 192, "residual"),
            (16, 384, 1000, "nothing"),
            (50, 192, 576, "norm and GELU"),
            (1970, 240, 960, "norm and GELU"),
            (1970, 960, 240, "residual"),
            (3152, 384, 1536, "nothing"),
        ),
    ),
    "mlp_block": (
        mlp_block,
        (
            (1, 8, 8),
            (1, 192, 768),
            (50, 192, 768),
            (1576, 192, 768),
            (1576, 216, 756, 864),
            (1154, 384, 1536),
        ),
    ),
    "packed_attention": (
        packed_attention,
        ((1, 1, 8, 1), (1, 50, 192, 3), (32, 65, 192, 3), (32, 197, 192, 3), (4, 577, 384, 6)),
    ),
    "segment_norms": (
        segment_norms,
        (
            ("list", 1),
            ("list", *(64,) * 1000),
            ("packed", *(64,) * 1000),
            ("list", *VIT_TINY),
            ("packed", *VIT_TINY),
        ),
    ),
    "self_attention_stats": (
        self_attention_stats,
        (
            (1, 1, 1, 1, STATISTICS),
            (1, 3, 50, 64, STATISTICS),
            (32, 3, 197, 64, STATISTICS),
            (32, 3, 197, 64, ("class_row",)),
            (2, 6, 577, 64, STATISTICS),
        ),
    ),
    "slice_norms": (
        slice_norms,
        ((1, 1, 1), (192, 192, 1), (192, 192, 100), (1024, 1024, 1), (1024, 1024, 100_000)),
    ),
}
"""By operator a builder, and what it takes behind the dtype."""


def label(shape: Sequence[Any]) -> str:
    """What a row is called; a long list by its length."""
    if len(shape) > 10:
        return f"{shape[0]} of {len(shape) - 1}"
    return " ".join("+".join(part) if isinstance(part, tuple) else str(part) for part in shape)


def calls(operator: str, dtype: torch.dtype) -> Iterator[tuple[str, Arguments]]:
    """Names and arguments of the calls of an operator, each built when it is asked for."""
    build, shapes = SHAPES[operator]
    for shape in shapes:
        yield label(shape), build(dtype, *shape)
