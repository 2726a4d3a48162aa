"""Compiled kernels of norms of slices."""

from __future__ import annotations

import pytest
import torch

from tvtfast.kernels import pack_slices
from tvtfast.kernels.slice_norms.definition import Prepared

from .compiling import DTYPES, Compiled, slice_norms, vector_loads


@pytest.mark.parametrize("dtype", DTYPES)
def test_slice_norms(compiled: Compiled, dtype: torch.dtype) -> None:
    weight = torch.empty(640, 640, dtype=dtype)
    slice_norms.norms(Prepared(weight, pack_slices([[192, 216], [640, 640]])))
    assert vector_loads(compiled.ptx("_tile_kernel"))
    slice_norms.norms(Prepared(weight.t(), pack_slices([[3, 5]])))
    assert len({kernel.hash for kernel in compiled["_scan_kernel"]}) == 1
