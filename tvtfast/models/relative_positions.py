"""The relative positions of AutoFormer: which pairs of tokens share an entry of its tables."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def relative_position_attention(
    q: Tensor, k: Tensor, v: Tensor, tables: Sequence[Tensor], grid: tuple[int, int]
) -> Tensor:
    """The attention of `tvtfast.models.blocks.RelativePositionAttention`, ``[B, H, T, D]``.

    Args:
        q: Queries ``[B, H, T, D]``.
        k: Keys.
        v: Values.
        tables: ``[2 max_distance + 2, D]`` each, for rows and columns of keys, then of values.
        grid: Height and width of the token grid; tokens before it are prefix tokens.
    """
    key_rows, key_columns, value_rows, value_columns = tables
    distances = len(key_rows)
    rows, columns = relative_distances(grid, q.shape[-2], distances // 2 - 1, q.device)
    shape = (*q.shape[:-1], q.shape[-2])
    rows, columns = rows.expand(shape), columns.expand(shape)
    bias = (q @ key_rows.T).gather(-1, rows) + (q @ key_columns.T).gather(-1, columns)
    attention = ((q @ k.transpose(-2, -1) + bias) * q.shape[-1] ** -0.5).softmax(dim=-1)
    buckets = attention.new_zeros((*attention.shape[:-1], distances))
    mixed = attention @ v + buckets.scatter_add(-1, rows, attention) @ value_rows
    return mixed + buckets.scatter_add(-1, columns, attention) @ value_columns


def relative_distances(
    grid: tuple[int, int], tokens: int, max_distance: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Row and column distance index of every pair of tokens, ``[T, T]`` int64 each.

    Entry 0 stands for pairs with a prefix token; distance ``d`` is ``d + max_distance + 1``.
    """
    height, width = grid
    prefix = tokens - height * width
    position = torch.arange(height * width, device=device)

    def table(coordinate: Tensor) -> Tensor:
        distance = coordinate[None, :] - coordinate[:, None]
        index = distance.clamp(-max_distance, max_distance) + max_distance + 1
        return F.pad(index, (prefix, 0, prefix, 0))

    return table(position // width), table(position % width)


def relative_channels(
    grid: tuple[int, int], tokens: int, max_distance: int, device: torch.device
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """What query and key of a pair have to do with its entry of the tables, apart.

    The key's part is its row and its column; there is one channel for each, and before them one for
    all prefix tokens. ``V[dy(i, j)] = sum_c V[distance_ic] own_jc``, and so for columns.

    Returns:
        For rows ``[T, 1 + height]`` and for columns ``[T, 1 + width]``: the entry of the table that
        a query has for each channel, int64, and a 1 where a key has its channel, else a 0.
    """
    height, width = grid
    last = tokens - height * width - 1  # of the prefix tokens; a candidate has one or two
    rows, columns = relative_distances(grid, tokens, max_distance, device)
    patch = torch.arange(height * width, device=device)

    def own(place: Tensor, count: int) -> Tensor:
        return F.one_hot(F.pad(place + 1, (last + 1, 0)), 1 + count)

    # the last prefix token stands for all of them, one key for its row or column
    return (
        (rows[:, last::width], own(patch // width, height)),
        (columns[:, last : last + width + 1], own(patch % width, width)),
    )
