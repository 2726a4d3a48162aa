"""Attention maps as the compiled extensions take them: addresses, dtype codes, shapes, strides."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..backend.native import DTYPE_CODES
from .layout import empty_gradient, is_walkable, walkable

Kernel = Callable[..., None]


def forward(
    kernel: Kernel, x: Tensor, teacher: Tensor | None, size: Sequence[int], *rest: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Map ``[B, H* W*]``, norm ``[B]`` and, where there is a teacher ``[T, N]``, distance ``[B]``.

    ``rest`` are the last arguments of the kernel, which differ between the extensions.
    """
    x = walkable(x)
    images = x.shape[0]
    values = x.new_empty((images, size[0] * size[1]), dtype=torch.float32)
    norm = x.new_empty(images, dtype=torch.float32)
    distance = x.new_empty(images if teacher is not None else 0, dtype=torch.float32)
    teacher = teacher.to(torch.float32).contiguous() if teacher is not None else None
    kernel(
        *_features(x, size),
        values.data_ptr(),
        norm.data_ptr(),
        teacher.data_ptr() if teacher is not None else 0,
        teacher.shape[0] if teacher is not None else 0,
        distance.data_ptr(),
        *rest,
    )
    return values, norm, distance


def backward(
    kernel: Kernel,
    x: Tensor,
    map: Tensor,
    norm: Tensor,
    grad_map: Tensor,
    size: Sequence[int],
    *rest: int,
) -> Tensor:
    """Gradient ``[B, H, W, C]`` of the features, in their dtype; ``rest`` as in :func:`forward`."""
    gradient = empty_gradient(x)
    if not is_walkable(x):
        return gradient.copy_(backward(kernel, x.contiguous(), map, norm, grad_map, size, *rest))
    map, norm, grad_map = (t.to(torch.float32).contiguous() for t in (map, norm, grad_map))
    kernel(
        *_features(x, size),
        map.data_ptr(),
        norm.data_ptr(),
        grad_map.data_ptr(),
        gradient.data_ptr(),
        *rest,
    )
    return gradient


def _features(
    x: Tensor, size: Sequence[int]
) -> tuple[int, int, Sequence[int], Sequence[int], Sequence[int]]:
    return x.data_ptr(), DTYPE_CODES[x.dtype], x.shape, x.stride(), tuple(size)
