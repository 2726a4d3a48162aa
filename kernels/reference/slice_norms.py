"""Norms of leading blocks of a matrix from a summed-area table of its squares."""

from __future__ import annotations

import torch
from torch import Tensor

from ..spec import accumulation_dtype


def norms(weight: Tensor, sizes: Tensor) -> Tensor:
    """``norms[k] = ||W[:o_k, :i_k]||`` for rows ``(o_k, i_k)`` of ``sizes`` ``[n, 2]``.

    The table is fp64 and all blocks begin at the origin, so every norm is one entry of it: nothing
    is subtracted, and nothing cancels.
    """
    squares = weight.to(torch.float64).square()
    table = torch.nn.functional.pad(squares.cumsum(0).cumsum(1), (1, 0, 1, 0))
    sizes = sizes.to(weight.device)
    return table[sizes[:, 0], sizes[:, 1]].sqrt().to(accumulation_dtype(weight.dtype))
