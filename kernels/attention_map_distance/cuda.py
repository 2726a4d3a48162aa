"""The distance of attention maps to a teacher in CUDA C++."""

from __future__ import annotations

from torch import Tensor

from ..attention_map.cuda import launch
from ..features.reasons import cuda_reasons
from .definition import Arguments


def reasons(call: Arguments) -> tuple[str, ...]:
    """Why this backend cannot serve the call."""
    return cuda_reasons(call)


def run(call: Arguments) -> tuple[Tensor, Tensor, Tensor]:
    """Distance ``[B]``, map and norm; image ``b`` meets row ``b % T`` of the teacher ``[T, N]``."""
    values, norm, distance = launch(*call)
    return distance, values, norm
