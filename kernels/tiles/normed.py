"""Layer normalisation of a tile of tokens."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def load_normed(tokens, inside, there, channels, eps):
    """Tokens at the addresses ``[T, C]``, normalised in fp32 without weights; 0 where not
    ``inside``, which is ``[T, C]``, as ``there`` ``[C]`` is for channels."""
    value = tl.load(tokens, mask=inside, other=0.0).to(tl.float32)  # [T, C]
    mean = tl.sum(value, 1) / channels  # [T]
    centred = tl.where(there[None, :], value - mean[:, None], 0.0)  # [T, C]
    scale = tl.rsqrt(tl.sum(centred * centred, 1) / channels + eps)  # [T]
    return centred * scale[:, None]  # [T, C]
