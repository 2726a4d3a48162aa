"""Attention maps in CUDA C++: without a resize one read of the features, never a copy of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..backend.cuda import extension, queue
from ..features import compiled
from ..features.reasons import cuda_reasons
from .definition import Arguments


def reasons(call: Arguments) -> tuple[str, ...]:
    """Why this backend cannot serve the call."""
    return cuda_reasons(call)


def run(call: Arguments) -> tuple[Tensor, Tensor]:
    """Map ``[B, H* W*]`` and norm ``[B]`` of features ``[B, H, W, C]``."""
    values, norm, _ = launch(call.x, None, call.size)
    return values, norm


def launch(x: Tensor, teacher: Tensor | None, size: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Map, norm and, where there is a teacher ``[T, N]``, distance ``[B]``."""
    elements = extension().attention_map_scratch(x.shape, tuple(size), x.device.index)
    scratch = x.new_empty(elements, dtype=torch.float64)
    kernel = extension().attention_map
    return compiled.forward(kernel, x, teacher, size, scratch.data_ptr(), *queue(x.device))
