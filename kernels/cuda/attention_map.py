"""Attention maps in CUDA C++: without a resize one read of the features, never a copy of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .. import _compiled
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
    values, norm, result = _run(x, size, teacher)
    return result, values, norm


def backward(x: Tensor, map: Tensor, norm: Tensor, grad_map: Tensor, size: Sequence[int]) -> Tensor:
    """Gradient ``[B, H, W, C]`` of the features, in their dtype."""
    kernel = extension().attention_map_backward
    return _compiled.backward(kernel, x, map, norm, grad_map, size, *queue(x.device))


def _run(x: Tensor, size: Sequence[int], teacher: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    elements = extension().attention_map_scratch(x.shape, tuple(size), x.device.index)
    scratch = x.new_empty(elements, dtype=torch.float64)
    kernel = extension().attention_map
    return _compiled.forward(kernel, x, teacher, size, scratch.data_ptr(), *queue(x.device))
