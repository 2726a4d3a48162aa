"""Norms of the leading blocks that candidates take of one shared weight."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from bench.case import Builder, Case, costs
from bench.targets import Target
from tvtfast import kernels

FORMS = (".norm() loop", "cumsum table")
TARGETS = {"1M": Target(seconds=0.1)}
WIDTHS = (192, 216, 240, 320, 384, 448, 528, 576, 624, 1024)
"""Of the AutoFormer spaces."""
LOOPED = 1000  # slices; more would take minutes one by one


def case(device: str, sizes: Tensor, packed: bool) -> Case:
    weight = torch.randn(1024, 1024, device=device)
    slices = kernels.pack_slices(sizes) if packed else sizes
    indices = (sizes - 1).to(device)
    few = sizes[:LOOPED].tolist()

    def loop() -> list[Tensor]:
        return [weight[:o, :i].norm() for o, i in few]

    def check() -> None:
        exact = torch.stack([weight[:o, :i].double().norm() for o, i in few])
        actual = kernels.slice_norms(weight, slices)[:LOOPED]
        torch.testing.assert_close(actual.double(), exact, rtol=2e-7, atol=0)

    def table() -> Tensor:
        sums = weight.square().cumsum(0).cumsum(1)
        return sums[indices[:, 0], indices[:, 1]].sqrt()

    baselines: dict[str, Callable[[], object]] = {"cumsum table": table}
    if len(sizes) <= LOOPED:
        baselines = {".norm() loop": loop, **baselines}
    return Case(
        "slice_norms",
        f"1024x1024, {len(sizes)} slices{', packed' if packed else ''}",
        lambda: kernels.slice_norms(weight, slices),
        baselines,
        check,
        *costs("slice_norms", weight, sizes),
    )


def cases(device: str) -> dict[str, Builder]:
    grid = torch.tensor(list(itertools.product(WIDTHS, WIDTHS)))
    generator = torch.Generator().manual_seed(0)
    million = torch.tensor(WIDTHS)[torch.randint(len(WIDTHS), (1_000_000, 2), generator=generator)]
    return {
        "100": partial(case, device, grid, False),
        "1M": partial(case, device, million, False),
        "1M-packed": partial(case, device, million, True),
    }
