"""Attention maps, distances and gradients in Triton on a real device, against fp64 there."""

from __future__ import annotations

import pytest
import torch

from tvtfast.kernels.attention_map import reference
from tvtfast.kernels.attention_map_backward import reference as reference_backward
from tvtfast.kernels.attention_map_distance import reference as reference_distance
from tvtfast.kernels.dispatch import OPERATORS

from .tensors import DTYPES, feature_view, need_memory, random

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("triton_device")]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ("tokens", "features", "cropped"))
@pytest.mark.parametrize("channels", (1, 7, 192, 216, 513))
@pytest.mark.parametrize(("grid", "size"), [(14, 14), (8, 14), (14, 5), (33, 33), (7, 34)])
def test_attention_maps(
    dtype: torch.dtype, layout: str, channels: int, grid: int, size: int
) -> None:
    x, target = feature_view(dtype, layout, grid, channels), [size, size]
    teacher, _ = reference.run(OPERATORS["attention_map"].call(random(5, size, size, 3), target))
    extent = 0 if grid == size else grid

    def bound(operator: str) -> float:
        return OPERATORS[operator].tolerance(dtype, channels, extent)

    ops = torch.ops.tvtfast
    distance, values, norm = ops.attention_map_distance(x, teacher, target, backend="triton")
    exact = reference_distance.run(
        OPERATORS["attention_map_distance"].call(x.double(), teacher.double(), target)
    )
    error = (values - exact[1]).abs().amax(dim=1)
    assert (error <= bound("attention_map") * exact[1].amax(dim=1)).all()
    limit = bound("attention_map_distance") / teacher.shape[1]
    assert ((distance - exact[0]).abs() <= limit).all()

    grad_map = random(*values.shape)
    gradient = ops.attention_map_backward(x, values, norm, grad_map, target, backend="triton")
    arguments = (t.double() for t in (x, values, norm, grad_map))
    expected = reference_backward.run(OPERATORS["attention_map_backward"].call(*arguments, target))
    bounds = bound("attention_map_backward") * expected.abs().amax(dim=(1, 2, 3))
    assert ((gradient - expected).abs().amax(dim=(1, 2, 3)) <= bounds).all()
    assert gradient.dtype == dtype


@pytest.mark.parametrize("layout", ("tokens", "features"))
def test_offsets_beyond_32_bits(layout: str) -> None:
    need_memory(12)
    images, channels, grid = 2**15 + 8, 512, 12
    shape = (images, grid, grid, channels) if layout == "tokens" else (images, channels, grid, grid)
    x = torch.zeros(shape, dtype=torch.bfloat16, device="cuda")
    assert x.numel() > 2**31
    x[-1] = random(*shape[1:]).bfloat16()
    view = x if layout == "tokens" else x.permute(0, 2, 3, 1)
    values, norm = torch.ops.tvtfast.attention_map(view, [grid, grid], backend="triton")
    alone, _ = torch.ops.tvtfast.attention_map(view[-1:], [grid, grid], backend="triton")
    assert torch.equal(values[-1:], alone) and not values[:-1].any()
    grad_map = torch.ones_like(values).cumsum(1)
    gradient = torch.ops.tvtfast.attention_map_backward(
        view, values, norm, grad_map, [grid, grid], backend="triton"
    )
    exact = reference_backward.run(
        OPERATORS["attention_map_backward"].call(
            view[-1:].float(), values[-1:], norm[-1:], grad_map[-1:], [grid, grid]
        )
    )
    bound = OPERATORS["attention_map_backward"].tolerance(torch.bfloat16, channels)
    assert (gradient[-1:] - exact).abs().max() <= bound * exact.abs().max()
    assert not gradient[:-1].any()
