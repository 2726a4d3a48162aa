"""Attention maps in C++: one read of the features, no resized or squared copy."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .._layout import empty_gradient, is_walkable, walkable
from ._extension import DTYPE_CODES, extension, missing, tensor_reasons


def reasons(x: Tensor, *others: Tensor | Sequence[int]) -> tuple[str, ...]:
    """Why the extension cannot serve these features (and teacher map, norm or gradient)."""
    named = tensor_reasons("x", x)
    for other in others:
        if isinstance(other, Tensor) and other.device != x.device:
            named += (f"an argument is on {other.device}, x on {x.device} (allowed: one device)",)
    return missing() + named


def forward(x: Tensor, size: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Map ``[B, H* W*]`` and norm ``[B]`` of features ``[B, H, W, C]``."""
    x = walkable(x)
    values = torch.empty(x.shape[0], size[0] * size[1])
    norm = torch.empty(x.shape[0])
    extension().attention_map(
        *_features(x, size), values.data_ptr(), norm.data_ptr(), 0, 0, 0, torch.get_num_threads()
    )
    return values, norm


def distance(x: Tensor, teacher: Tensor, size: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Distance ``[B]``, map and norm; image ``b`` meets row ``b % T`` of the teacher ``[T, N]``."""
    x = walkable(x)
    teacher = teacher.to(torch.float32).contiguous()
    values = torch.empty(x.shape[0], size[0] * size[1])
    norm, result = torch.empty(x.shape[0]), torch.empty(x.shape[0])
    extension().attention_map(
        *_features(x, size),
        values.data_ptr(),
        norm.data_ptr(),
        teacher.data_ptr(),
        teacher.shape[0],
        result.data_ptr(),
        torch.get_num_threads(),
    )
    return result, values, norm


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
        torch.get_num_threads(),
    )
    return gradient


def _features(
    x: Tensor, size: Sequence[int]
) -> tuple[int, int, Sequence[int], Sequence[int], Sequence[int]]:
    return x.data_ptr(), DTYPE_CODES[x.dtype], x.shape, x.stride(), tuple(size)
