"""A population whose blocks go through the interpreted kernels."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from tvtfast import kernels, spaces

pytest.importorskip("timm")

from tvtfast.population import Population

SPACE = spaces.VitasDeitSpace("deit", (16,), (12, 24), 4, 1, (2, 3), (36, 72), (24, 48))
OPTIONS: dict[str, Any] = {"img_size": (48, 32), "patch_size": 8}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """While a kernel is interpreted, functions of Triton are replaced for all threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def features(archs: list[Any], images: Tensor, dtype: torch.dtype) -> dict[int, Tensor]:
    found = {}
    population = Population(archs, space=SPACE, dtype=dtype, **OPTIONS)
    for entry in population.features(images):
        for rows, x in zip(entry.rows, entry.features.x, strict=True):
            found.update(dict.fromkeys(rows, x.float()))
    return found


def test_a_population(monkeypatch: pytest.MonkeyPatch) -> None:
    archs = SPACE.sample(12, 0, **OPTIONS)
    images = torch.randn(2, 3, 48, 32)
    exact = features(archs, images, torch.float32)
    calls: dict[str, list[Any]] = {"mlp_block": [], "attention_block": []}

    def counting(name: str, *arguments: Any, **options: Any) -> Tensor:
        calls[name].append(options.get("hidden", options.get("heads")))
        return blocks[name](*arguments, **options)

    blocks = {name: partial(getattr(kernels, name), backend="triton") for name in calls}
    for name in calls:
        monkeypatch.setattr(kernels, name, partial(counting, name))
    monkeypatch.setattr(kernels, "serving", lambda *_: "triton")
    actual = features(archs, images, torch.float16)
    assert None in calls["mlp_block"] and [24, 48] in calls["mlp_block"], "one, and several at once"
    assert None in calls["attention_block"]
    assert sorted(actual) == list(range(len(archs)))
    for row, x in exact.items():
        # every layer rounds what it adds and what it carries to 11 bits: errors of 2^-12, some 60
        # of them, at random
        assert (actual[row] - x).norm() <= 4 * 60**0.5 * 2**-12 * x.norm()
