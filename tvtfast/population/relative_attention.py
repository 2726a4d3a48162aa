"""Attention with AutoFormer's relative positions as attention without them, of wider heads."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from tvtfast import kernels
from tvtfast.models.relative_positions import relative_channels

ALIGNMENT = 8
"""Heads are padded to multiples of as many channels, which fused kernels of devices ask for."""


def added_channels(grid: tuple[int, int]) -> int:
    """Channels that a head is wider by."""
    return -(-(2 + sum(grid)) // ALIGNMENT) * ALIGNMENT


def relative_attention(
    qkv: Tensor, num_heads: int, tables: Sequence[Tensor], grid: tuple[int, int]
) -> Tensor:
    """What `tvtfast.models.relative_positions.relative_position_attention` computes, of a fused
    projection.

    With a channel ``c`` for every row and every column of keys
    (`tvtfast.models.relative_positions.relative_channels`), query i has ``q_i . R_k[i, c]`` there,
    where ``R_k[i, c]`` is the entry of the tables for it, and key and value j a 1 in their own.
    Plain attention then has the biased logits, and its channels ``c`` are how much attention a row
    or column gets in all, ``s_ic``; ``sum_c s_ic R_v[i, c]`` is what relative positions add to the
    output. No ``T x T`` map is formed.

    Args:
        qkv: ``[N, T, 3 H D]`` as in `tvtfast.kernels.packed_attention`.
        num_heads: H.
        tables: ``[2 max_distance + 2, D]`` each, for rows and columns of keys, then of values.
        grid: Height and width of the token grid; tokens before it are prefix tokens.

    Returns:
        ``[N, T, H D]`` of the dtype of ``qkv``, with its error.
    """
    heads = qkv.unflatten(-1, (3, num_heads, -1))
    images, tokens, _, _, width = heads.shape
    (rows, columns), own = _channels(grid, tokens, len(tables[0]) // 2 - 1, qkv.device)
    of_keys, of_values = (
        torch.cat((tables[which][rows], tables[which + 1][columns]), dim=1) for which in (0, 2)
    )
    wide = heads.new_zeros(images, tokens, 3, num_heads, width + added_channels(grid))
    wide[..., :width] = heads
    end = width + own.shape[1]
    wide[:, :, 0, :, width:end] = torch.einsum("nthd,tcd->nthc", heads[:, :, 0], of_keys)
    wide[:, :, 1:, :, width:end] = own[:, None, None]
    mixed = kernels.packed_attention(wide.flatten(2), num_heads, scale=width**-0.5)
    mixed = mixed.unflatten(-1, (num_heads, -1))
    positions = torch.einsum("nthc,tcd->nthd", mixed[..., width:end], of_values)
    return positions.add_(mixed[..., :width]).flatten(2)


@lru_cache(maxsize=8)
def _channels(
    grid: tuple[int, int], tokens: int, max_distance: int, device: torch.device
) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """Entries of the tables by query, for rows and columns, and the channels of every key ``[T,
    C]``."""
    rows, columns = relative_channels(grid, tokens, max_distance, device)
    return (rows[0], columns[0]), torch.cat((rows[1], columns[1]), dim=1)
