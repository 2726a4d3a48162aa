"""Attention maps in CUDA C++: without a resize one read of the features, never a copy of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .._layout import empty_gradient, is_walkable, walkable
from ..native._extension import DTYPE_CODES
from ._extension import extension, queue, tensor_reasons

SIZE_LIMIT = 2**30


def reasons(x: Tensor, *others: Tensor | Sequence[int]) -> tuple[str, ...]:
    """Why the extension cannot serve these features (and teacher map, norm or gradient)."""
    declined = tensor_reasons([("x", x)])
    for other in others:
        if isinstance(other, Tensor) and other.device != x.device:
            declined += (
                f"an argument is on {other.device}, x on {x.device} (allowed: one device)",
            )
    images, height, width, channels = x.shape
    size = next(other for other in others if not isinstance(other, Tensor))
    largest = max(height * width, size[0] * size[1], channels)
    if largest >= SIZE_LIMIT:
        declined += (f"an image has {largest} positions or channels (allowed: below {SIZE_LIMIT})",)
    if images >= 2**31:
        declined += (f"x has {images} images (allowed: below 2^31)",)
    return declined


def forward(x: Tensor, size: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Map ``[B, H* W*]`` and norm ``[B]`` of features ``[B, H, W, C]``."""
    values, norm, _ = _run(x, size, None)
    return values, norm


def distance(x: Tensor, teacher: Tensor, size: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Distance ``[B]``, map and norm; image ``b`` meets row ``b % T`` of the teacher ``[T, N]``."""
    values, norm, result = _run(x, size, teacher.to(torch.float32).contiguous())
    return result, values, norm


def _run(x: Tensor, size: Sequence[int], teacher: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    x = walkable(x)
    size = tuple(size)
    images = x.shape[0]
    values = x.new_empty((images, size[0] * size[1]), dtype=torch.float32)
    norm = x.new_empty(images, dtype=torch.float32)
    result = x.new_empty(images if teacher is not None else 0, dtype=torch.float32)
    elements = extension().attention_map_scratch(x.shape, size, x.device.index)
    scratch = x.new_empty(elements, dtype=torch.float64)
    extension().attention_map(
        *_features(x, size),
        values.data_ptr(),
        norm.data_ptr(),
        teacher.data_ptr() if teacher is not None else 0,
        teacher.shape[0] if teacher is not None else 0,
        result.data_ptr(),
        scratch.data_ptr(),
        *queue(x.device),
    )
    return values, norm, result


def backward(x: Tensor, map: Tensor, norm: Tensor, grad_map: Tensor, size: Sequence[int]) -> Tensor:
    """Gradient ``[B, H, W, C]`` of the features, in their dtype."""
    if not is_walkable(x):
        return empty_gradient(x).copy_(backward(x.contiguous(), map, norm, grad_map, size))
    gradient = empty_gradient(x)
    map, norm, grad_map = (t.to(torch.float32).contiguous() for t in (map, norm, grad_map))
    extension().attention_map_backward(
        *_features(x, size),
        map.data_ptr(),
        norm.data_ptr(),
        grad_map.data_ptr(),
        gradient.data_ptr(),
        *queue(x.device),
    )
    return gradient


def _features(
    x: Tensor, size: Sequence[int]
) -> tuple[int, int, Sequence[int], Sequence[int], Sequence[int]]:
    return x.data_ptr(), DTYPE_CODES[x.dtype], x.shape, x.stride(), tuple(size)
