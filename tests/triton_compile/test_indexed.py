"""Compiled kernels of index-keyed numbers."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch

from .compiling import DTYPES, Compiled, arguments_of, indexed


@pytest.mark.parametrize("fill", (indexed.normal_, indexed.uniform_))
@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((5, 3), torch.float32), *(((640, 216), dtype) for dtype in (*DTYPES, torch.float64))],
)
def test_indexed(compiled: Compiled, dtype: torch.dtype, fill: Any, shape: tuple[int, ...]) -> None:
    call = arguments_of(f"indexed_{fill.__name__}", torch.empty(shape, dtype=dtype), -5, 0.5, 2.0)
    fill(call)
    (kernel,) = compiled["_fill_kernel"]
    ptx = kernel.asm["ptx"]
    assert not re.search(r"\bfma\.", ptx) and not kernel.metadata.enable_fp_fusion
    assert "sqrt.approx" not in ptx
    assert ("sqrt.rn.f32" in ptx) == (fill is indexed.normal_)
    if len(shape) > 1 and shape[-1] % 8 == 0:
        assert re.search(r"st\.global\S*\.(?:v4\.b32|v2\.b64)", ptx)


def test_keys_share_one_kernel(compiled: Compiled) -> None:
    for key in (1, 16, -(2**63), 2**40):
        indexed.normal_(arguments_of("indexed_normal_", torch.empty(8, 8), key, 0.0, 1.0))
    assert len({kernel.hash for kernel in compiled["_fill_kernel"]}) == 1
