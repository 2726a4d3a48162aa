"""Distances of features that differ in width, one by one in plain PyTorch."""

from __future__ import annotations

import torch
from torch import Tensor

from ..attention_map_distance import reference as attention_map_distance
from ..attention_map_distance.definition import Arguments as OneArguments
from .definition import Arguments


def run(call: Arguments) -> Tensor:
    """Distance ``[K, B]`` of features ``[B, H, W, C_k]``."""
    calls = (OneArguments(x, call.teacher, call.size) for x in call.xs)
    return torch.stack([attention_map_distance.run(one)[0] for one in calls])
