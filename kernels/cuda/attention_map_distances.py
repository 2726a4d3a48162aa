"""Distances of features of different widths to one teacher: the CUDA C++ kernels, one by one.

A launch per candidate, but no table to copy: calls can be captured in a CUDA graph.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .._layout import differences
from . import attention_map


def reasons(xs: Sequence[Tensor], teacher: Tensor, size: Sequence[int]) -> tuple[str, ...]:
    """Why the extension cannot serve these features, or not with this teacher map."""
    found = (reason for x in xs for reason in attention_map.reasons(x, teacher, size))
    return (*dict.fromkeys(found), *differences(xs, teacher))


def distances(xs: Sequence[Tensor], teacher: Tensor, size: Sequence[int]) -> Tensor:
    """Distance ``[K, B]`` of features ``[B, H, W, C_k]``; image ``b`` meets row ``b % T``."""
    return torch.stack([attention_map.distance(x, teacher, size)[0] for x in xs])
