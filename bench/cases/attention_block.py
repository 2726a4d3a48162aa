"""Attention halves of blocks of a batch of candidates: one number of heads, and two that share
their beginning."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.case import Builder, Case, costs
from tvtfast import kernels

FORMS = ("torch", "torch.compile", "three operators")
TOKENS = 197
SHAPES = {
    "192": (192, 64, (3,)),
    "240": (240, 64, (4,)),
    "216-two": (216, 64, (3, 4)),
    "216-narrow-heads": (216, 54, (4,)),
    "240-wide-heads": (240, 80, (3,)),
}
"""Channels, channels of a head and numbers of heads."""


def layers(x: Tensor, w_qkv: Tensor, w_proj: Tensor, heads: Sequence[int]) -> list[Tensor]:
    """A norm, a product, attention, and a product that adds to the residual for every number."""
    qkv = F.linear(F.layer_norm(x, x.shape[-1:]), w_qkv).unflatten(-1, (3, heads[-1], -1))
    mixed = F.scaled_dot_product_attention(*qkv.permute(2, 0, 3, 1, 4).unbind(0))
    merged, rows = mixed.transpose(1, 2).flatten(2).flatten(0, 1), x.flatten(0, 1)
    widths = [count * (w_proj.shape[1] // heads[-1]) for count in heads]
    return [torch.addmm(rows, merged[:, :k], w_proj[:, :k].t()) for k in widths]


@cache
def compiled() -> Callable[..., list[Tensor]]:
    return torch.compile(layers)


def operators(x: Tensor, w_qkv: Tensor, w_proj: Tensor, heads: Sequence[int]) -> list[Tensor]:
    """The same by the operators for each."""
    mixed = kernels.packed_attention(kernels.linear(x, w_qkv, norm_eps=1e-5), heads[-1])
    widths = [count * (w_proj.shape[1] // heads[-1]) for count in heads]
    return [kernels.linear(mixed[..., :k], w_proj[:, :k], residual=x) for k in widths]


def case(device: str, dtype: torch.dtype, name: str) -> Case:
    channels, dim, heads = SHAPES[name]
    images, inner = 64 if device == "cuda" else 8, heads[-1] * dim
    sizes = ((images, TOKENS, channels), (3 * inner, channels), (channels, inner))
    x, w_qkv, w_proj = (torch.randn(size, device=device) for size in sizes)
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

    out = x.new_empty((len(heads), *x.shape), device="meta")
    return Case(
        "attention_block",
        f"{images}x{TOKENS}x{channels}, {' and '.join(map(str, heads))} heads of {dim},"
        f" {str(dtype).removeprefix('torch.')}",
        ours,
        {
            "torch": lambda: layers(x, w_qkv, w_proj, heads),
            "torch.compile": lambda: compiled()(x, w_qkv, w_proj, heads),
            "three operators": lambda: operators(x, w_qkv, w_proj, heads),
        },
        check,
        *costs("attention_block", x, w_qkv, None, w_proj, None, heads, 1e-5, out),
    )


def cases(device: str) -> dict[str, Builder]:
    """In half precision alone on CUDA: in fp32 the operator is PyTorch's own there."""
    dtypes = (torch.bfloat16,) if device == "cuda" else (torch.float32, torch.bfloat16)
    return {
        f"{name}-{str(dtype).removeprefix('torch.')}": partial(case, device, dtype, name)
        for dtype in dtypes
        for name in SHAPES
    }
