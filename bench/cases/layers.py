"""Layers that see one token at a time, forward."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.case import Builder, Case, costs
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
        *costs("layer_norm", x, 1e-5),
    )


def linear_case(dtype: torch.dtype, kind: str) -> Case:
    """The two layers of an MLP 240 wide, each with what stands around it."""
    tokens, width, hidden = 10 * 197, 240, 960
    first = kind == "first"
    inputs, outputs = (width, hidden) if first else (hidden, width)
    x, weight = torch.randn(tokens, inputs).to(dtype), torch.randn(outputs, inputs).to(dtype)
    weight *= inputs**-0.5
    bias, residual = torch.randn(outputs).to(dtype), torch.randn(tokens, outputs).to(dtype)
    ones, zeros = torch.ones(inputs, dtype=dtype), torch.zeros(inputs, dtype=dtype)
    out = torch.empty_like(residual)

    def ours() -> Tensor:
        if first:
            return kernels.linear(x, weight, bias, norm_eps=1e-6, gelu=True)
        return kernels.linear(x, weight, bias, residual=residual, out=out)

    def torch_operators() -> Tensor:
        if first:
            normed = F.layer_norm(x, (inputs,), ones, zeros, 1e-6)
            return torch.ops.aten.gelu_(F.linear(normed, weight, bias))
        return torch.addmm(residual + bias, x, weight.t(), out=out)

    def check() -> None:
        wide = x.double()
        if first:
            exact = F.linear(
                F.layer_norm(wide, (inputs,), eps=1e-6), weight.double(), bias.double()
            )
            exact = F.gelu(exact)
        else:
            exact = residual.double() + F.linear(wide, weight.double(), bias.double())
        atol = 2e-5 if dtype == torch.float32 else 0.08
        torch.testing.assert_close(ours().double(), exact, rtol=0, atol=atol)

    around = "norm and GELU" if first else "residual"
    return Case(
        "linear",
        f"{tokens}x{inputs} to {outputs}, {around}, {str(dtype).removeprefix('torch.')}",
        ours,
        {"torch": torch_operators},
        check,
        *costs(
            "linear",
            *(out, x, weight, bias),
            *((None, 1e-6, True) if first else (residual, None, False)),
        ),
    )


def cases(device: str) -> dict[str, Builder]:
    """On the CPU alone: elsewhere the operators are PyTorch's own."""
    if device != "cpu":
        return {}
    dtypes = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    norms = {f"layer_norm-{name}": partial(layer_norm_case, d, 216) for name, d in dtypes.items()}
    products = {
        f"linear-{kind}-{name}": partial(linear_case, dtype, kind)
        for kind in ("first", "second")
        for name, dtype in dtypes.items()
    }
    return {**norms, **products}
