"""Tiles of the tokens of a head, as the attention kernels read them."""

from __future__ import annotations

import triton
import triton.language as tl

LOG2_E = 1.4426950408889634
"""Exponents are of base 2: the factor of scores."""


@triton.jit
def load_tokens(tokens, inside, begin, channels, WIDTH: tl.constexpr, DOT: tl.constexpr):
    """Channels ``begin`` to ``begin + WIDTH`` of tokens, from their addresses; 0 outside."""
    d = begin + tl.arange(0, WIDTH)  # [WIDTH]
    mask = inside[:, None] & (d < channels)[None, :]  # [T, WIDTH]
    return tl.load(tokens[:, None] + d[None, :], mask=mask, other=0.0).to(DOT)  # [T, WIDTH]
