"""Weight draws that run together on a real device: the values of single draws, few launches."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

import tvtfast
from tvtfast import proxies
from tvtfast.proxies.length_distortion import circle_directions

pytestmark = pytest.mark.gpu
SEED_TOPOLOGY = "8,2,3|4,1,2|4,1,4|4,1,6|32"
SIZE = 64
MEASURES: dict[str, Callable[..., Tensor]] = {
    "length": lambda modules: proxies.length_distortion(
        modules, img_size=SIZE, directions=circle_directions(0, (SIZE, SIZE))
    ),
    "condition": lambda modules: proxies.ntk_condition(
        modules, torch.randn(4, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    ),
}


@pytest.fixture
def modules() -> list[nn.Module]:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device is visible")
    return [
        tvtfast.build(SEED_TOPOLOGY, space="asvit", img_size=SIZE, seed=seed, device="cuda")
        for seed in range(5)
    ]


@pytest.mark.parametrize("name", MEASURES)
def test_values(name: str, modules: list[nn.Module]) -> None:
    """cuBLAS orders the sums of batched products otherwise; convolutions are the same calls."""
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
        draws = [module.to(dtype) for module in modules]
        alone = torch.stack([MEASURES[name](module) for module in draws])
        torch.testing.assert_close(MEASURES[name](draws), alone, rtol=tolerance, atol=0)


@pytest.mark.parametrize("name", MEASURES)
def test_launches(name: str, modules: list[nn.Module]) -> None:
    counts = []
    for draws in (modules[:1], modules):
        MEASURES[name](draws)
        with profile(activities=[ProfilerActivity.CUDA]) as profiled:
            MEASURES[name](draws)
            torch.cuda.synchronize()
        events = profiled.events()
        assert events is not None
        counts.append(sum(event.device_type == torch.autograd.DeviceType.CUDA for event in events))
    one, five = counts
    assert 0 < one < five < 2.5 * one
