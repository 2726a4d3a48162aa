"""Attention maps in C++: one read of the features, no resized or squared copy."""

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


def run(call: Arguments) -> tuple[Tensor, Tensor]:
    """Map ``[B, H* W*]`` and norm ``[B]`` of features ``[B, H, W, C]``."""
    kernel, threads = extension().attention_map, torch.get_num_threads()
    values, norm, _ = compiled.forward(kernel, call.x, None, call.size, threads)
    return values, norm
