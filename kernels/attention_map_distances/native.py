"""Distances of features of different widths to one teacher, in one C++ call."""

from __future__ import annotations

import torch
from torch import Tensor

from ..backend.native import DTYPE_CODES, extension, missing, tensor_reasons
from ..features.layout import walkable
from ..layout import differences, tensor_kinds
from .definition import Arguments


def reasons(call: Arguments) -> tuple[str, ...]:
    """Why the extension cannot serve these features, or not with this teacher map."""
    found = (reason for x in tensor_kinds(call.xs) for reason in tensor_reasons("a tensor", x))
    return (*missing(), *found, *differences(call.xs, call.teacher))


def run(call: Arguments) -> Tensor:
    """Distance ``[K, B]`` of features ``[B, H, W, C_k]``; image ``b`` meets row ``b % T``."""
    xs = [walkable(x) for x in call.xs]
    teacher = call.teacher.to(torch.float32).contiguous()
    result = torch.empty(len(xs), xs[0].shape[0])
    extension().attention_map_distances(
        [x.data_ptr() for x in xs],
        DTYPE_CODES[xs[0].dtype],
        [x.shape for x in xs],
        [x.stride() for x in xs],
        tuple(call.size),
        teacher.data_ptr(),
        teacher.shape[0],
        result.data_ptr(),
        torch.get_num_threads(),
    )
    return result
