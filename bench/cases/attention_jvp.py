"""Attention and its tangent: scores of any size, and those of untrained networks without norms."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import torch
from torch import Tensor

from bench.case import Builder, Case, costs
from tvtfast import kernels

FORMS = ("eager", "torch.compile", "torch.func.jvp")
SHAPES = {"vit": (8, 3, 197, 64, 1.0), "as-vit": (40, 4, 784, 8, 1e-3)}
"""Images or windows, heads, tokens, channels, and the size of queries and keys."""


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    mixed: Tensor = (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(dim=-1) @ v
    return mixed


def tangents(
    q: Tensor, k: Tensor, v: Tensor, dq: Tensor, dk: Tensor, dv: Tensor
) -> tuple[Tensor, Tensor]:
    """The formula as one would write it."""
    scale = q.shape[-1] ** -0.5
    weights = (q @ k.transpose(-2, -1) * scale).softmax(dim=-1)
    moved = weights * (dq @ k.transpose(-2, -1) + q @ dk.transpose(-2, -1)) * scale
    out = weights @ v
    return out, weights @ dv + moved @ v - moved.sum(dim=-1, keepdim=True) * out


@cache
def compiled() -> Callable[..., tuple[Tensor, Tensor]]:
    return torch.compile(tangents)


def case(device: str, name: str) -> Case:
    batch, heads, tokens, channels, size = SHAPES[name]
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    shape = (6, batch, heads, tokens, channels)
    operands = list(torch.randn(shape, device=device).to(dtype).unbind(0))
    operands[:2] = [size * operand for operand in operands[:2]]
    primals, duals = tuple(operands[:3]), tuple(operands[3:])

    def check() -> None:
        exact = tangents(*(operand.double() for operand in operands))
        rtol = 1e-4 if dtype == torch.float32 else 0.05
        for value, expected in zip(kernels.attention_jvp(*operands), exact, strict=True):
            bound = rtol * expected.abs().max().item()
            torch.testing.assert_close(value.double(), expected, rtol=0, atol=bound)

    return Case(
        "attention_jvp",
        f"{batch}x{heads}x{tokens}x{channels}, {name}",
        lambda: kernels.attention_jvp(*operands),
        {
            "eager": lambda: tangents(*operands),
            "torch.compile": lambda: compiled()(*operands),
            "torch.func.jvp": lambda: torch.func.jvp(attention, primals, duals),
        },
        check,
        *costs("attention_jvp", *operands, channels**-0.5),
    )


def cases(device: str) -> dict[str, Builder]:
    return {name: partial(case, device, name) for name in SHAPES}
