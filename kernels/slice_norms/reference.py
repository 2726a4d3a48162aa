"""Norms of leading blocks of a matrix from a summed-area table of its squares."""

from __future__ import annotations

import torch
from torch import Tensor

from ..backend.reference import NAME
from ..dtypes import accumulation_dtype
from .definition import Prepared
from .table import copy_reasons


def run(call: Prepared) -> Tensor:
    """``norms[k] = ||W[:o_k, :i_k]||`` for rows ``(o_k, i_k)`` of the table.

    The summed-area table is fp64 and all blocks begin at the origin, so every norm is one entry of
    it: nothing is subtracted, and nothing cancels. Where a norm is 0 its derivatives are 0.

    Raises:
        RuntimeError: A CUDA graph is captured, which cannot hold the copy of the sizes.
    """
    weight, table = call
    declined = copy_reasons(table, NAME, weight.device)
    if declined:
        raise RuntimeError(f"slice_norms: {declined[0]}")
    squares = weight.to(torch.float64).square()
    sums = torch.nn.functional.pad(squares.cumsum(0).cumsum(1), (1, 0, 1, 0))
    sizes = table.sizes.to(weight.device)
    chosen = sums[sizes[:, 0], sizes[:, 1]]
    zero = chosen == 0
    norms = chosen.masked_fill(zero, 1).sqrt().masked_fill(zero, 0)
    return norms.to(accumulation_dtype(weight.dtype))
