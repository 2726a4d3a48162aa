"""Norms of many tensors in Triton on a real device, against fp64 on that device."""

from __future__ import annotations

import pytest
import torch

from tvtfast.kernels import pack_segments, segment_norms
from tvtfast.kernels.dispatch import OPERATORS

from .tensors import DTYPES, random

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("triton_device")]


@pytest.mark.parametrize("packed", (False, True))
def test_segment_norms(packed: bool) -> None:
    lengths = (1, 7, 197, 0, 16383, 16384, 16385, 1_000_003)
    tensors = [random(n + 1, dtype=dtype)[k:] for n in lengths for dtype in DTYPES for k in (0, 1)]
    tensors.append(torch.full((9,), 1e20, device="cuda"))
    actual = segment_norms(pack_segments(tensors) if packed else tensors, backend="triton")
    exact = torch.stack([torch.linalg.vector_norm(t, dtype=torch.float64) for t in tensors])
    bound = OPERATORS["segment_norms"].tolerance(torch.float32, max(lengths))
    assert ((actual - exact).abs() <= bound * exact).all()
