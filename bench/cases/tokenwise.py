"""Layers that see one token at a time."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F

from bench.case import Builder, Case
from tvtfast import kernels

FORMS = ("torch",)
TOKENS = 8 * 197


def layer_norm_case(dtype: torch.dtype, width: int) -> Case:
    x = torch.randn(TOKENS, width).to(dtype)
    ones, zeros = torch.ones(width, dtype=dtype), torch.zeros(width, dtype=dtype)

    def check() -> None:
        exact = F.layer_norm(x.double(), (width,))
        atol = 1e-5 if dtype == torch.float32 else 0.02
        torch.testing.assert_close(kernels.layer_norm(x).double(), exact, rtol=0, atol=atol)

    return Case(
        "layer_norm",
        f"{TOKENS}x{width}, {str(dtype).removeprefix('torch.')}",
        lambda: kernels.layer_norm(x),
        # with ones and zeros PyTorch's kernel is faster than without
        {"torch": lambda: F.layer_norm(x, (width,), ones, zeros)},
        check,
        2 * x.nbytes,
    )


def gelu_case(dtype: torch.dtype, width: int) -> Case:
    x = torch.randn(TOKENS, width).to(dtype)

    def check() -> None:
        actual = kernels.gelu_(x.clone()).double()
        rtol = 1e-6 if dtype == torch.float32 else 0.005
        torch.testing.assert_close(actual, F.gelu(x.double()), rtol=rtol, atol=1e-6)

    return Case(
        "gelu_",
        f"{TOKENS}x{width}, {str(dtype).removeprefix('torch.')}",
        lambda: kernels.gelu_(x),
        {"torch": lambda: torch.ops.aten.gelu_(x)},
        check,
        2 * x.nbytes,
    )


def cases(device: str) -> dict[str, Builder]:
    """On the CPU alone: elsewhere the operators are PyTorch's own."""
    if device != "cpu":
        return {}
    return {
        f"{name}-{str(dtype).removeprefix('torch.')}": partial(make, dtype, width)
        for name, make, width in (("layer_norm", layer_norm_case, 216), ("gelu", gelu_case, 864))
        for dtype in (torch.float32, torch.bfloat16)
    }
