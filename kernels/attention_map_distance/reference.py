"""The distance of attention maps to a teacher in plain PyTorch."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..attention_map.reference import forward
from .definition import Arguments


def run(call: Arguments) -> tuple[Tensor, Tensor, Tensor]:
    """The definition of the operator."""
    return distance(*call)


def distance(x: Tensor, teacher: Tensor, size: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Distance ``[B]``, map and norm; image ``b`` meets row ``b % T`` of the teacher ``[T, N]``."""
    values, norm = forward(x, size)
    repeats = x.shape[0] // max(teacher.shape[0], 1)
    difference = teacher - values.unflatten(0, (repeats, teacher.shape[0]))
    return difference.square().mean(dim=-1).flatten(), values, norm
