"""The gradient of attention maps in C++."""

from __future__ import annotations

import torch
from torch import Tensor

from ..backend.native import extension
from ..features import compiled
from ..features.reasons import native_reasons
from .definition import Arguments


def reasons(call: Arguments) -> tuple[str, ...]:
    """Why this backend cannot serve the call."""
    return native_reasons(call)


def run(call: Arguments) -> Tensor:
    """Gradient ``[B, H, W, C]`` of the features, in their dtype."""
    kernel, threads = extension().attention_map_backward, torch.get_num_threads()
    return compiled.backward(kernel, *call, threads)
