"""Calls of norms of leading slices."""

from __future__ import annotations

import torch

from bench.calls.tensors import Arguments, rand


def slice_norms(dtype: torch.dtype, rows: int, columns: int, count: int) -> Arguments:
    sizes = torch.stack(
        [torch.randint(1, side + 1, (count,), generator=_seeded()) for side in (rows, columns)], 1
    )
    return rand(dtype, rows, columns), sizes


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


SHAPES = {
    "slice_norms": (
        slice_norms,
        ((1, 1, 1), (192, 192, 1), (192, 192, 100), (1024, 1024, 1), (1024, 1024, 100_000)),
    ),
}
