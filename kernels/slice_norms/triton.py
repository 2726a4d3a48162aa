"""Norms of slices of a matrix in Triton."""

from __future__ import annotations

from ..backend import triton
from .definition import Prepared


def reasons(call: Prepared) -> tuple[str, ...]:
    """Why Triton cannot serve the call."""
    return triton.missing() + triton.tensor_reasons("weight", call.weight)


run = triton.launcher(__package__, "norms")
