"""Both index-keyed fills in Triton, which writes every dtype."""

from __future__ import annotations

from ..backend import triton
from .definition import Arguments


def reasons(call: Arguments) -> tuple[str, ...]:
    """Why Triton cannot fill this tensor."""
    tensor = call.tensor
    found = triton.device_reasons("tensor", tensor)
    if any(n > 1 and step == 0 for n, step in zip(tensor.shape, tensor.stride(), strict=True)):
        found += ("tensor has a stride of 0 (allowed: an address for every element)",)
    return triton.missing() + found


normal_ = triton.launcher(__package__, "normal_")
uniform_ = triton.launcher(__package__, "uniform_")
