"""The distance of attention maps to a teacher in plain PyTorch."""

from __future__ import annotations

from torch import Tensor

from ..attention_map import reference as attention_map
from ..attention_map.definition import Arguments as MapArguments
from .definition import Arguments


def run(call: Arguments) -> tuple[Tensor, Tensor, Tensor]:
    """Distance ``[B]``, map and norm; image ``b`` meets row ``b % T`` of the teacher ``[T, N]``."""
    x, teacher, size = call
    values, norm = attention_map.run(MapArguments(x, size))
    repeats = x.shape[0] // max(teacher.shape[0], 1)
    difference = teacher - values.unflatten(0, (repeats, teacher.shape[0]))
    return difference.square().mean(dim=-1).flatten(), values, norm
