"""Attention of a fused projection."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from bench.case import Builder, Case, costs
from tvtfast import kernels

FORMS = ("SDPA", "bmm/softmax/bmm")


def eager_attention(qkv: Tensor, heads: int) -> Tensor:
    """Two batched products and a softmax, for all heads at once."""
    q, k, v = qkv.unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4).flatten(1, 2).unbind(0)
    logits = torch.baddbmm(q.new_empty(()), q, k.mT, beta=0, alpha=q.shape[-1] ** -0.5)
    mixed = torch.bmm(logits.softmax(dim=-1), v)
    return mixed.unflatten(0, (-1, heads)).transpose(1, 2).flatten(2)


def case(device: str, dtype: torch.dtype, tokens: int, width: int, heads: int) -> Case:
    images = 32
    qkv = torch.randn(images, tokens, 3 * width, device=device).to(dtype)

    def check() -> None:
        actual = kernels.packed_attention(qkv, heads).double()
        exact = kernels.packed_attention(qkv.double(), heads)
        atol = 1e-5 if dtype == torch.float32 else 0.02
        torch.testing.assert_close(actual, exact, rtol=0, atol=atol)

    return Case(
        "packed_attention",
        f"{images}x{tokens}x{width}, {heads} heads, {str(dtype).removeprefix('torch.')}",
        lambda: kernels.packed_attention(qkv, heads),
        {
            "SDPA": lambda: kernels.packed_attention(qkv, heads, backend="reference"),
            "bmm/softmax/bmm": lambda: eager_attention(qkv, heads),
        },
        check,
        *costs("packed_attention", qkv, heads, (width // heads) ** -0.5),
    )


def cases(device: str) -> dict[str, Builder]:
    """On the CPU alone: elsewhere the operator is PyTorch's own."""
    if device != "cpu":
        return {}
    return {
        f"{str(dtype).removeprefix('torch.')}-{tokens}x{width}": partial(
            case, device, dtype, tokens, width, heads
        )
        for dtype in (torch.float32, torch.bfloat16)
        for tokens, width, heads in ((197, 192, 3), (197, 216, 4), (65, 192, 3))
    }
