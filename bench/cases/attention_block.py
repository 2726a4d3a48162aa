"""Attention halves of blocks of a batch of candidates: one number of heads, and two that share
their beginning."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.case import Builder, Case
from tvtfast import kernels

FORMS = ("torch", "three operators")
IMAGES, TOKENS, DIM = 8, 197, 64
SHAPES = {"192": (192, (3,)), "240": (240, (4,)), "216-two": (216, (3, 4))}
"""Channels and numbers of heads."""


def layers(x: Tensor, w_qkv: Tensor, w_proj: Tensor, heads: Sequence[int]) -> list[Tensor]:
    """A norm, a product, attention, and a product that adds to the residual for every number."""
    qkv = F.linear(F.layer_norm(x, x.shape[-1:]), w_qkv).unflatten(-1, (3, heads[-1], DIM))
    mixed = F.scaled_dot_product_attention(*qkv.permute(2, 0, 3, 1, 4).unbind(0))
    merged, rows = mixed.transpose(1, 2).flatten(2).flatten(0, 1), x.flatten(0, 1)
    widths = [count * DIM for count in heads]
    return [torch.addmm(rows, merged[:, :k], w_proj[:, :k].t()) for k in widths]


def operators(x: Tensor, w_qkv: Tensor, w_proj: Tensor, heads: Sequence[int]) -> list[Tensor]:
    """The same by the operators for each."""
    mixed = kernels.packed_attention(kernels.linear(x, w_qkv, norm_eps=1e-5), heads[-1])
    widths = [count * DIM for count in heads]
    return [kernels.linear(mixed[..., :k], w_proj[:, :k], residual=x) for k in widths]


def case(dtype: torch.dtype, name: str) -> Case:
    channels, heads = SHAPES[name]
    inner = heads[-1] * DIM
    sizes = ((IMAGES, TOKENS, channels), (3 * inner, channels), (channels, inner))
    x, w_qkv, w_proj = (torch.randn(size) for size in sizes)
    x, w_qkv, w_proj = (t.to(dtype) for t in (x, w_qkv / channels**0.5, w_proj / inner**0.5))

    def ours() -> Tensor:
        return kernels.attention_block(
            x, w_qkv, None, w_proj, None, num_heads=heads[-1], heads=heads
        )

    def check() -> None:
        exact = torch.stack(layers(x.double(), w_qkv.double(), w_proj.double(), heads))
        atol = 1e-4 if dtype == torch.float32 else 0.1
        actual = ours().double().flatten(1, 2)
        torch.testing.assert_close(actual, exact, rtol=0, atol=atol)

    return Case(
        "attention_block",
        f"{IMAGES}x{TOKENS}x{channels}, {' and '.join(map(str, heads))} heads,"
        f" {str(dtype).removeprefix('torch.')}",
        ours,
        {
            "torch": lambda: layers(x, w_qkv, w_proj, heads),
            "three operators": lambda: operators(x, w_qkv, w_proj, heads),
        },
        check,
        (1 + len(heads)) * x.nbytes + w_qkv.nbytes + w_proj.nbytes,
        IMAGES * TOKENS * inner * (8 * channels + 4 * TOKENS),
    )


def cases(device: str) -> dict[str, Builder]:
    """On the CPU alone: elsewhere the operator is PyTorch's own."""
    if device != "cpu":
        return {}
    return {
        f"{name}-{str(dtype).removeprefix('torch.')}": partial(case, dtype, name)
        for dtype in (torch.float32, torch.bfloat16)
        for name in SHAPES
    }
