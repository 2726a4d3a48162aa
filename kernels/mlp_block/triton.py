"""An MLP block in Triton; weights are checked to be like ``x``."""

from __future__ import annotations

from ..backend import triton
from .definition import Arguments

NARROWEST_UNIT = 4
"""Channels and hidden units come in groups of as many: 8 bytes at a time."""
MOST_HIDDEN = 4
"""Widths of one call."""


def reasons(call: Arguments) -> tuple[str, ...]:
    """Why Triton cannot serve the call."""
    x, hidden = call.x, call.hidden
    found = triton.missing() + triton.tensor_reasons("x", x, triton.HALF)
    if x.shape[-1] > triton.WIDEST_BLOCK:
        found += (f"x has {x.shape[-1]} channels (allowed: up to {triton.WIDEST_BLOCK})",)
    if any(width % NARROWEST_UNIT for width in (x.shape[-1], *hidden)):
        widths = f"{x.shape[-1]} channels and hidden={tuple(hidden)}"
        found += (f"{widths} are not all multiples of {NARROWEST_UNIT}",)
    if len(hidden) > MOST_HIDDEN:
        found += (f"hidden has {len(hidden)} widths (allowed: up to {MOST_HIDDEN})",)
    return found


run = triton.launcher(__package__, "write")
