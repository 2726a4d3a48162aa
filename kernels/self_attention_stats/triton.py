"""Statistics of attention weights in Triton; keys are checked to be like queries."""

from __future__ import annotations

from ..backend import triton
from .definition import Arguments

WIDEST_HEAD = 256
"""Channels of a head whose tiles fit into shared memory."""


def reasons(call: Arguments) -> tuple[str, ...]:
    """Why Triton cannot serve the call."""
    found = triton.head_reasons(call.q, WIDEST_HEAD) + triton.tensor_reasons("q", call.q)
    return triton.missing() + found


run = triton.launcher(__package__, "stats")
