"""Populations on a real device: the same scores as modules, within the memory given."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

import tvtfast
from tvtfast import kernels, spaces
from tvtfast.models import last_features
from tvtfast.population import Population

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def device() -> Iterator[None]:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device is visible")
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    yield
    torch.set_float32_matmul_precision(precision)


def maps(population: Population, images: torch.Tensor) -> dict[int, torch.Tensor]:
    found = {}
    for entry in population.features(images):
        for rows, values in zip(entry.rows, entry.features.attention_map().cpu(), strict=True):
            found.update(dict.fromkeys(rows, values))
    return found


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("autoformer-tiny", {"img_size": 224}),
        ("autoformer-original-tiny", {"img_size": 64, "patch_size": 8}),
        ("pit", {"img_size": 224}),
    ],
)
def test_features_of_modules(name: str, options: dict[str, int]) -> None:
    space = spaces.get(name)
    archs = space.sample(8, 0, **options)
    images = torch.randn(4, 3, options["img_size"], options["img_size"], device="cuda")
    found = maps(Population(archs, space=space, device="cuda", **options), images)
    for row, arch in enumerate(archs):
        module = tvtfast.build(arch, space=space, device="cuda", **options)
        with torch.no_grad():
            expected = last_features(module, images).attention_map().cpu()
        torch.testing.assert_close(found[row], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", (torch.float16, torch.bfloat16))
def test_fused_blocks_give_what_layers_give(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks in a launch or two, and with every layer by PyTorch."""
    archs = spaces.get("autoformer-tiny").sample(16, 0)
    images = torch.randn(4, 3, 224, 224, device="cuda")
    calls: dict[str, list[Any]] = {"mlp_block": [], "attention_block": []}
    blocks = {name: getattr(kernels, name) for name in calls}

    def counting(name: str, *arguments: Any, **options: Any) -> torch.Tensor:
        calls[name].append(options.get("hidden"))
        return blocks[name](*arguments, **options)

    for name in calls:
        monkeypatch.setattr(kernels, name, partial(counting, name))
    fused = maps(Population(archs, space="autoformer-tiny", device="cuda", dtype=dtype), images)
    assert None in calls["mlp_block"] and len(set(map(str, calls["mlp_block"]))) > 1
    for made in calls.values():
        assert made
        made.clear()
    with kernels.use_backend("reference"):
        population = Population(archs, space="autoformer-tiny", device="cuda", dtype=dtype)
        layers = maps(population, images)
    assert not any(calls.values())
    for row, expected in layers.items():
        # either way some 60 roundings of activations, which a map squares, by a quarter of eps
        bound = 2 * 2 * 4 * 60**0.5 * torch.finfo(dtype).eps / 4
        assert (fused[row] - expected).norm() <= bound * expected.norm()


def test_half_precision_ranks_alike() -> None:
    archs = spaces.get("autoformer-tiny").sample(60, 0)
    images = torch.randn(16, 3, 224, 224, device="cuda")
    energies = []
    for dtype in (torch.float32, torch.bfloat16):
        population = Population(archs, space="autoformer-tiny", device="cuda", dtype=dtype)
        found = maps(population, images)
        uniform = torch.full((196,), 1 / 14)
        energies.append([(found[row] - uniform).square().mean().item() for row in range(60)])
    assert stats.kendalltau(*energies).statistic >= 0.97


@pytest.mark.parametrize("share", (1.0, 0.1))
def test_peak_stays_under_the_budget(share: float) -> None:
    archs = spaces.get("autoformer-tiny").sample(64, 0)
    images = torch.randn(16, 3, 224, 224, device="cuda")
    budget = int(share * 4 * 2**30)
    population = Population(
        archs, space="autoformer-tiny", device="cuda", dtype=torch.bfloat16, memory=budget
    )
    for _ in population.features(images):  # weights and workspaces are made
        pass
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    for _ in population.features(images):
        pass
    assert torch.cuda.max_memory_allocated() - before <= budget


def test_order_and_cuts_change_nothing() -> None:
    archs = spaces.get("autoformer-tiny").sample(32, 0)
    images = torch.randn(4, 3, 224, 224, device="cuda")
    whole = maps(Population(archs, space="autoformer-tiny", device="cuda"), images)
    cut = Population(archs[::-1], space="autoformer-tiny", device="cuda", memory=200 * 2**20)
    for row, values in maps(cut, images).items():
        np.testing.assert_allclose(values, whole[31 - row], rtol=1e-4, atol=1e-6)
