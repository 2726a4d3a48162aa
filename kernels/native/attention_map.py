"""Attention maps in C++: one read of the features, no resized or squared copy."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .. import _compiled
from ._extension import extension, missing, tensor_reasons


def reasons(x: Tensor, *others: Tensor | Sequence[int]) -> tuple[str, ...]:
    """Why the extension cannot serve these features (and teacher map, norm or gradient)."""
    named = tensor_reasons("x", x)
    for other in others:
        if isinstance(other, Tensor) and other.device != x.device:
            named += (f"an argument is on {other.device}, x on {x.device} (allowed: one device)",)
    return missing() + named


def forward(x: Tensor, size: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Map ``[B, H* W*]`` and norm ``[B]`` of features ``[B, H, W, C]``."""
    kernel, threads = extension().attention_map, torch.get_num_threads()
    values, norm, _ = _compiled.forward(kernel, x, None, size, threads)
    return values, norm


def distance(x: Tensor, teacher: Tensor, size: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Distance ``[B]``, map and norm; image ``b`` meets row ``b % T`` of the teacher ``[T, N]``."""
    kernel, threads = extension().attention_map, torch.get_num_threads()
    values, norm, result = _compiled.forward(kernel, x, teacher, size, threads)
    return result, values, norm


def backward(x: Tensor, map: Tensor, norm: Tensor, grad_map: Tensor, size: Sequence[int]) -> Tensor:
    """Gradient ``[B, H, W, C]`` of the features, in their dtype."""
    kernel, threads = extension().attention_map_backward, torch.get_num_threads()
    return _compiled.backward(kernel, x, map, norm, grad_map, size, threads)
