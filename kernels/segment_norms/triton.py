"""Norms of a list or table of tensors in Triton."""

from __future__ import annotations

from ..backend import triton
from ..layout import tensor_kinds
from .definition import Arguments
from .table import SegmentTable


def reasons(call: Arguments) -> tuple[str, ...]:
    """Why Triton cannot serve the call."""
    tensors = call.tensors
    kinds = tensors.kinds if isinstance(tensors, SegmentTable) else tensor_kinds(tensors)
    found = (reason for x in kinds for reason in triton.tensor_reasons("a tensor", x))
    return (*triton.missing(), *found)


run = triton.launcher(__package__, "norms")
