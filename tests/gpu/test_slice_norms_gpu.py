"""Norms of slices in Triton on a real device, against fp64 on that device."""

from __future__ import annotations

import pytest
import torch

from tvtfast.kernels import slice_norms
from tvtfast.kernels.dispatch import OPERATORS

from .tensors import DTYPES, random

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("triton_device")]


@pytest.mark.parametrize("dtype", DTYPES)
def test_slice_norms(dtype: torch.dtype) -> None:
    weight = random(640, 443, dtype=dtype)
    sizes = [(o, i) for o in (0, 1, 33, 192, 640) for i in (0, 5, 128, 216, 443)]
    for matrix in (weight, weight.t().contiguous().t(), weight[::2, ::2]):
        usable = [(o, i) for o, i in sizes if o <= matrix.shape[0] and i <= matrix.shape[1]]
        actual = slice_norms(matrix, usable, backend="triton")
        exact = torch.stack(
            [torch.linalg.vector_norm(matrix[:o, :i], dtype=torch.float64) for o, i in usable]
        )
        bound = OPERATORS["slice_norms"].tolerance(torch.float32, weight.numel())
        assert ((actual - exact).abs() <= bound * exact).all()
