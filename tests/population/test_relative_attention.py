"""Relative positions as channels of plain attention against maps of all pairs in fp64."""

from __future__ import annotations

import pytest
import torch

from tvtfast.kernels.packed_attention.definition import tolerance
from tvtfast.models.relative_positions import relative_position_attention
from tvtfast.population.relative_attention import relative_attention

# clipped distances, one and two prefix tokens, grids of one row or column
CASES = [((3, 5), 1, 2), ((4, 4), 2, 14), ((1, 6), 1, 3), ((5, 1), 2, 1), ((14, 14), 1, 14)]


def drawn(grid, prefix, max_distance, dtype, heads=3, width=16):
    generator = torch.Generator().manual_seed(sum(grid))
    tokens = prefix + grid[0] * grid[1]
    qkv = torch.randn(2, tokens, 3 * heads * width, generator=generator, dtype=torch.float64)
    tables = torch.randn(4, 2 * max_distance + 2, width, generator=generator, dtype=torch.float64)
    return qkv.to(dtype), tables.to(dtype), heads


def expected(qkv, tables, heads, grid):
    q, k, v = qkv.double().unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
    mixed = relative_position_attention(q, k, v, tables.double().unbind(0), grid)
    return mixed.transpose(1, 2).flatten(2), torch.cat((v.flatten(), tables.double().flatten()))


@pytest.mark.parametrize(("grid", "prefix", "max_distance"), CASES)
@pytest.mark.parametrize("dtype", (torch.float64, torch.float32, torch.bfloat16))
def test_values_are_those_of_all_pairs(grid, prefix, max_distance, dtype):
    qkv, tables, heads = drawn(grid, prefix, max_distance, dtype)
    found = relative_attention(qkv, heads, tables.unbind(0), grid)
    assert found.dtype == dtype and found.shape == (2, qkv.shape[1], qkv.shape[2] // 3)
    right, values = expected(qkv, tables, heads, grid)
    # the operator's bound, thrice for as many products of queries and of values with tables; and
    # channels of queries, in logits at most 4 each of rows and columns, are rounded to dtype, which
    # moves a weight by twice that part of itself
    bound = 3 * tolerance(dtype, qkv.shape[1], extent=16.0) + 16 * torch.finfo(dtype).eps
    assert (found.double() - right).abs().max() <= bound * values.abs().max()


def test_a_swapped_table_is_seen():
    grid = (3, 5)
    qkv, tables, heads = drawn(grid, 1, 2, torch.float64)
    right, _ = expected(qkv, tables, heads, grid)
    for order in ((1, 0, 2, 3), (0, 1, 3, 2), (2, 3, 0, 1)):
        found = relative_attention(qkv, heads, tables[list(order)].unbind(0), grid)
        assert (found - right).abs().max() > 0.1
