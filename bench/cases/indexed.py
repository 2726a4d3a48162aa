"""Index-keyed random numbers."""

from __future__ import annotations

from functools import partial

import torch

from bench.case import Builder, Case, costs
from tvtfast import kernels

FORMS = ("torch",)


def case(device: str, kind: str) -> Case:
    tensor = torch.empty(768, 3072, device=device)
    if kind == "normal":
        fill, baseline = kernels.indexed_normal_, torch.Tensor.normal_
    else:
        fill, baseline = kernels.indexed_uniform_, torch.Tensor.uniform_

    def check() -> None:
        reference = fill(torch.empty(99, 101), seed=3, name="w", backend="reference")
        actual = fill(torch.empty_like(tensor), seed=3, name="w")
        assert torch.equal(actual[:99, :101].cpu(), reference)

    return Case(
        f"indexed_{kind}_",
        "768x3072",
        lambda: fill(tensor, seed=3, name="w"),
        {"torch": lambda: baseline(tensor)},
        check,
        *costs(f"indexed_{kind}_", tensor, 0, 0.0, 1.0),
    )


def cases(device: str) -> dict[str, Builder]:
    return {kind: partial(case, device, kind) for kind in ("normal", "uniform")}
