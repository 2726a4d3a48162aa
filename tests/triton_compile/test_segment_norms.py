"""Compiled kernels of norms of many tensors."""

from __future__ import annotations

import pytest
import torch

from tvtfast.kernels import pack_segments

from .compiling import DTYPES, Compiled, arguments_of, segment_norms, vector_loads


@pytest.mark.parametrize("dtype", DTYPES)
def test_segment_norms(compiled: Compiled, dtype: torch.dtype) -> None:
    tensors = [torch.empty(100, dtype=dtype), torch.empty(100, dtype=dtype)[1:]]
    segment_norms.norms(arguments_of("segment_norms", pack_segments(tensors)))
    aligned, other = compiled["_chunk_kernel"]
    assert vector_loads(aligned.asm["ptx"]) and not vector_loads(other.asm["ptx"])
