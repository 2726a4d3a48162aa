"""Norms of slices of a matrix in Triton."""

from __future__ import annotations

from ..backend import triton
from .definition import Prepared
from .table import copy_reasons


def reasons(call: Prepared) -> tuple[str, ...]:
    """Why Triton cannot serve the call."""
    weight, table = call
    declined = triton.missing() + triton.tensor_reasons("weight", weight)
    return declined or copy_reasons(table, triton.NAME, weight.device)


run = triton.launcher(__package__, "norms")
