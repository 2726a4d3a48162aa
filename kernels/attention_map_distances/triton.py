"""Distances of features that differ in width in Triton."""

from __future__ import annotations

import torch

from ..backend import triton
from ..layout import differences, tensor_kinds
from .definition import Arguments


def reasons(call: Arguments) -> tuple[str, ...]:
    """Why Triton cannot serve these features, or not with this teacher map."""
    xs, teacher, _ = call
    found = (reason for x in tensor_kinds(xs) for reason in triton.tensor_reasons("a tensor", x))
    reasons = (*triton.missing(), *found, *differences(xs, teacher))
    if reasons or xs[0].device.type != "cuda" or not torch.cuda.is_current_stream_capturing():
        return reasons
    return (
        "a table cannot be copied to the device while a CUDA graph is captured (allowed: backend"
        " 'cuda')",
    )


run = triton.launcher(__package__, "distances")
