"""Distances of candidates that differ in width, in Triton on a real device."""

from __future__ import annotations

import pytest
import torch

from tvtfast.kernels import attention_map_distance, attention_map_distances

from .tensors import DTYPES, feature_view, random

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("triton_device")]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ("tokens", "features", "cropped"))
@pytest.mark.parametrize(("grid", "size"), [(14, 14), (8, 14), (33, 33)])
def test_distances_have_the_bits_of_the_dense_form(
    dtype: torch.dtype, layout: str, grid: int, size: int
) -> None:
    views = [feature_view(dtype, layout, grid, channels) for channels in (1, 7, 192, 216, 240, 513)]
    xs, teacher = [view.permute(0, 3, 1, 2) for view in views], random(5, size * size).abs()
    options = {"size": (size, size), "backend": "triton"}
    expected = [attention_map_distance(x, teacher, **options) for x in xs]
    assert torch.equal(attention_map_distances(xs, teacher, **options), torch.stack(expected))
