"""Attention and its tangent in Triton; the other tensors are checked to be like ``q``."""

from __future__ import annotations

from ..backend import triton
from .definition import Arguments

WIDEST_HEAD = 128
"""Channels of a head whose tiles, and those of their tangents, fit into shared memory."""


def reasons(call: Arguments) -> tuple[str, ...]:
    """Why Triton cannot serve the call."""
    found = triton.head_reasons(call.q, WIDEST_HEAD) + triton.tensor_reasons("q", call.q)
    return triton.missing() + found


run = triton.launcher(__package__, "forward")
