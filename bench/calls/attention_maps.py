"""Calls of attention maps, their distances and their gradients."""

from __future__ import annotations

import torch

from bench.calls.tensors import Arguments, features, teacher_maps

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


SHAPES = {
    "attention_map": (attention_map, MAPS),
    "attention_map_distance": (attention_map_distance, MAPS),
    "attention_map_backward": (attention_map_backward, MAPS),
    "attention_map_distances": (
        attention_map_distances,
        ((1, 1, 1, 1), (16, 1, 14, 192), (16, 32, 14, 192)),
    ),
}
