"""The attention half of a block in Triton; weights are checked to be like ``x``."""

from __future__ import annotations

from ..backend import triton
from .definition import Arguments

WIDEST_HEAD = 80
"""Channels of a head whose sums fit into registers beside the result's."""
MOST_HEADS = 4
"""Numbers of heads of one call."""
EVEN = 2
"""Channels, and those of heads, are even: 4 bytes at a time."""


def reasons(call: Arguments) -> tuple[str, ...]:
    """Why Triton cannot serve the call."""
    x, heads = call.x, call.heads
    found = triton.missing() + triton.tensor_reasons("x", x, triton.HALF)
    channels, dim = x.shape[-1], call.w_proj.shape[1] // heads[-1]
    if channels > triton.WIDEST_BLOCK:
        found += (f"x has {channels} channels (allowed: up to {triton.WIDEST_BLOCK})",)
    if dim > WIDEST_HEAD:
        found += (f"a head has {dim} channels (allowed: up to {WIDEST_HEAD})",)
    if channels % EVEN or dim % EVEN:
        found += (f"{channels} channels and {dim} of a head are not both even",)
    if len(heads) > MOST_HEADS:
        found += (f"heads has {len(heads)} numbers (allowed: up to {MOST_HEADS})",)
    return found


run = triton.launcher(__package__, "write")
