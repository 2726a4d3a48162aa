"""Nuclear norms of many matrices."""

from __future__ import annotations

import functools
import math
from collections.abc import MutableMapping, Sequence

import torch
from torch import Tensor

from tvtfast.common.hashing import fingerprint

SKETCH = 16
"""Dimensions of the subspace that a matrix of low rank is held against."""
LARGE = 4 * SKETCH
"""Sides from which a matrix is held against it; below, singular values are as quick."""
KNOWN = 1 << 16
"""Norms that are kept at most."""


def nuclear_norms(matrices: Sequence[Tensor]) -> Tensor:
    r"""Sums of singular values, :math:`\lVert W \rVert_* = \sum_i \sigma_i(W)`.

    A matrix that lies in a subspace of `SKETCH` dimensions but for rounding, as gradients of
    similar tokens do, has its singular values found inside it. With ``Q`` an orthonormal basis of
    the subspace and ``r`` the smaller side of ``G``,

    .. math:: \lVert Q^T G \rVert_* \le \lVert G \rVert_*
        \le \lVert Q^T G \rVert_* + \sqrt{r}\, \lVert G - Q Q^T G \rVert_F

    and the last term is at most `tolerance` of the norm. All other matrices of one shape go through
    one call of ``torch.linalg.svdvals``.

    Args:
        matrices: ``[O, I]`` each, of any sizes, on one device.

    Returns:
        ``[n]``, fp64; singular values have the precision of the matrices, at least fp32.
        Deterministic: the subspace is that of products with fixed numbers.

    Raises:
        ValueError: No matrix, or a tensor that is none.

    Source: Halko, Martinsson and Tropp, "Finding structure with randomness", SIAM Review 2011,
    algorithm 4.1; the bound is the triangle inequality, with numbers that were computed.
    """
    if not matrices:
        raise ValueError("there is no matrix; give one or more")
    found = torch.empty(len(matrices), dtype=torch.float64, device=matrices[0].device)
    whole: dict[tuple[torch.Size, torch.dtype], list[int]] = {}
    for place, matrix in enumerate(matrices):
        if matrix.ndim != 2:
            raise ValueError(f"matrix {place} has shape {list(matrix.shape)}; give [rows, columns]")
        dtype = torch.promote_types(matrix.dtype, torch.float32)
        inside = _of_low_rank(matrix.to(dtype)) if min(matrix.shape) >= LARGE else None
        if inside is None:
            whole.setdefault((matrix.shape, dtype), []).append(place)
        else:
            found[place] = inside
    for (_, dtype), some in whole.items():
        found[some] = _sums(torch.stack([matrices[place].to(dtype) for place in some]))
    return found


def known_nuclear_norms(matrices: Sequence[Tensor], known: MutableMapping[str, float]) -> Tensor:
    """`nuclear_norms` of matrices that come again, as weights that candidates share do.

    Args:
        matrices: As there.
        known: Norms by the `tvtfast.common.hashing.fingerprint` of a matrix. New ones are entered;
            where there are more than `KNOWN`, all are forgotten first.

    Returns:
        As there.
    """
    keys = [fingerprint(matrix) for matrix in matrices]
    norms = {key: known[key] for key in keys if key in known}
    new = {key: matrix for key, matrix in zip(keys, matrices, strict=True) if key not in norms}
    if new:
        made = dict(zip(new, nuclear_norms(list(new.values())).tolist(), strict=True))
        norms |= made
        if len(known) > KNOWN:
            known.clear()
        known.update(made)
    found = [norms[key] for key in keys]
    return torch.tensor(found, dtype=torch.float64, device=matrices[0].device)


def tolerance(dtype: torch.dtype) -> float:
    """What a norm of `nuclear_norms` that was found in a subspace may be too small by, as a part of
    it."""
    return 128 * torch.finfo(dtype).eps


def _of_low_rank(matrix: Tensor) -> Tensor | None:
    """The nuclear norm, where all but rounding lies inside a subspace."""
    wide = matrix if matrix.shape[0] < matrix.shape[1] else matrix.mT
    directions = _directions(wide.shape[1]).to(wide)
    basis = torch.linalg.qr(wide @ directions).Q
    inside = basis.mT @ wide
    norm = _sums(inside)
    rest = torch.linalg.vector_norm(torch.addmm(wide, basis, inside, alpha=-1), dtype=torch.float64)
    # a NaN compares as false, and all singular values say what to make of it
    if math.sqrt(len(wide)) * rest <= tolerance(wide.dtype) * norm:
        return norm
    return None


@functools.lru_cache(maxsize=64)
def _directions(length: int) -> Tensor:
    """Fixed numbers ``[length, SKETCH]``."""
    return torch.randn(length, SKETCH, generator=torch.Generator().manual_seed(0))


def _sums(stack: Tensor) -> Tensor:
    """Of ``[*, O, I]``, ``[*]``."""
    return torch.linalg.svdvals(stack).double().sum(dim=-1)
