"""The distance of attention maps to a teacher in C++, from one read of the features."""

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


def run(call: Arguments) -> tuple[Tensor, Tensor, Tensor]:
    """Distance ``[B]``, map and norm; image ``b`` meets row ``b % T`` of the teacher ``[T, N]``."""
    kernel, threads = extension().attention_map, torch.get_num_threads()
    values, norm, distance = compiled.forward(kernel, call.x, call.teacher, call.size, threads)
    return distance, values, norm
