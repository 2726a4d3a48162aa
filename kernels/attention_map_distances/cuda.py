"""Distances of features of different widths to one teacher: the CUDA C++ kernels, one by one.

A launch per candidate, but no table to copy: calls can be captured in a CUDA graph.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ..attention_map_distance import cuda as attention_map_distance
from ..attention_map_distance.definition import Arguments as OneArguments
from ..layout import differences
from .definition import Arguments


def reasons(call: Arguments) -> tuple[str, ...]:
    """Why the extension cannot serve these features, or not with this teacher map."""
    found = (reason for one in _each(call) for reason in attention_map_distance.reasons(one))
    return (*dict.fromkeys(found), *differences(call.xs, call.teacher))


def run(call: Arguments) -> Tensor:
    """Distance ``[K, B]`` of features ``[B, H, W, C_k]``; image ``b`` meets row ``b % T``."""
    return torch.stack([attention_map_distance.run(one)[0] for one in _each(call)])


def _each(call: Arguments) -> Iterator[OneArguments]:
    return (OneArguments(x, call.teacher, call.size) for x in call.xs)
