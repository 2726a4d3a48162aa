"""Norms of a list or table of tensors in Triton."""

from __future__ import annotations

from ..backend import triton
from .definition import Arguments
from .table import copy_reasons, kinds_of


def reasons(call: Arguments) -> tuple[str, ...]:
    """Why Triton cannot serve the call."""
    kinds = kinds_of(call.tensors)
    found = (reason for x in kinds for reason in triton.tensor_reasons("a tensor", x))
    return (*triton.missing(), *found) or copy_reasons(call.tensors, triton.NAME)


run = triton.launcher(__package__, "norms")
