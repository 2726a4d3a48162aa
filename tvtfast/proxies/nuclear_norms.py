"""Nuclear norms of many matrices."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def nuclear_norms(matrices: Sequence[Tensor]) -> Tensor:
    r"""Sums of singular values, :math:`\lVert W \rVert_* = \sum_i \sigma_i(W)`.

    Matrices of one shape go through one call of ``torch.linalg.svdvals``.

    Args:
        matrices: ``[O, I]`` each, of any sizes, on one device.

    Returns:
        ``[n]``, fp64; singular values have the precision of the matrices, at least fp32.

    Raises:
        ValueError: No matrix, or a tensor that is none.
    """
    if not matrices:
        raise ValueError("there is no matrix; give one or more")
    places: dict[tuple[torch.Size, torch.dtype], list[int]] = {}
    for place, matrix in enumerate(matrices):
        if matrix.ndim != 2:
            raise ValueError(f"matrix {place} has shape {list(matrix.shape)}; give [rows, columns]")
        dtype = torch.promote_types(matrix.dtype, torch.float32)
        places.setdefault((matrix.shape, dtype), []).append(place)
    found = torch.empty(len(matrices), dtype=torch.float64, device=matrices[0].device)
    for (_, dtype), some in places.items():
        stack = torch.stack([matrices[place].to(dtype) for place in some])
        found[some] = torch.linalg.svdvals(stack).double().sum(dim=-1)
    return found
