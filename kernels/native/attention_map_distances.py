"""Distances of features of different widths to one teacher, in one C++ call."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .._layout import differences, walkable
from .._segments import tensor_kinds
from ._extension import DTYPE_CODES, extension, missing, tensor_reasons


def reasons(xs: Sequence[Tensor], teacher: Tensor, size: Sequence[int]) -> tuple[str, ...]:
    """Why the extension cannot serve these features, or not with this teacher map."""
    found = (reason for x in tensor_kinds(xs) for reason in tensor_reasons("a tensor", x))
    return (*missing(), *found, *differences(xs, teacher))


def distances(xs: Sequence[Tensor], teacher: Tensor, size: Sequence[int]) -> Tensor:
    """Distance ``[K, B]`` of features ``[B, H, W, C_k]``; image ``b`` meets row ``b % T``."""
    xs = [walkable(x) for x in xs]
    teacher = teacher.to(torch.float32).contiguous()
    result = torch.empty(len(xs), xs[0].shape[0])
    extension().attention_map_distances(
        [x.data_ptr() for x in xs],
        DTYPE_CODES[xs[0].dtype],
        [x.shape for x in xs],
        [x.stride() for x in xs],
        tuple(size),
        teacher.data_ptr(),
        teacher.shape[0],
        result.data_ptr(),
        torch.get_num_threads(),
    )
    return result
