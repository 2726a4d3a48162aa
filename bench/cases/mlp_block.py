"""MLP blocks of a batch of candidates: one hidden width, and two that share their beginning."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.case import Builder, Case, costs
from tvtfast import kernels

FORMS = ("eager", "torch.compile")
IMAGES = 64
SHAPES = {
    "192": (192, (768,)),
    "216": (216, (864,)),
    "240": (240, (960,)),
    "216-two-widths": (216, (756, 864)),
}
"""Channels and hidden widths."""


def layers(x: Tensor, w1: Tensor, w2: Tensor, hidden: Sequence[int]) -> list[Tensor]:
    """A norm, a product, a GELU, and a product that adds to the residual, for every width."""
    active = F.gelu(F.linear(F.layer_norm(x, x.shape[-1:]), w1))
    return [torch.addmm(x, active[:, :width], w2[:, :width].t()) for width in hidden]


@cache
def compiled() -> Callable[..., list[Tensor]]:
    return torch.compile(layers)


def case(device: str, name: str) -> Case:
    channels, hidden = SHAPES[name]
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    tokens = (IMAGES if device == "cuda" else 8) * 197
    sizes = ((tokens, channels), (hidden[-1], channels), (channels, hidden[-1]))
    x, w1, w2 = (torch.randn(size, device=device).to(dtype) for size in sizes)
    w1, w2 = w1 / channels**0.5, w2 / hidden[-1] ** 0.5

    def ours() -> Tensor:
        return kernels.mlp_block(x, w1, None, w2, None, hidden=hidden)

    def check() -> None:
        exact = torch.stack(layers(x.double(), w1.double(), w2.double(), hidden))
        atol = 1e-4 if dtype == torch.float32 else 0.1
        torch.testing.assert_close(ours().double(), exact, rtol=0, atol=atol)

    out = x.new_empty((len(hidden), *x.shape), device="meta")
    return Case(
        "mlp_block",
        f"{tokens}x{channels}, hidden {' and '.join(map(str, hidden))}",
        ours,
        {
            "eager": lambda: layers(x, w1, w2, hidden),
            "torch.compile": lambda: compiled()(x, w1, w2, hidden),
        },
        check,
        *costs("mlp_block", x, w1, None, w2, None, hidden, 1e-5, out),
    )


def cases(device: str) -> dict[str, Builder]:
    return {name: partial(case, device, name) for name in SHAPES}
