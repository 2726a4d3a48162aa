"""Statistics of attention maps that are never formed."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.case import Builder, Case, costs
from bench.targets import Target
from tvtfast import kernels

STATISTICS = ("class_row", "column_sums", "row_entropy")
FORMS = ("softmax", "log_softmax", "torch.compile", "SDPA and map")
TARGETS = {"197-tokens": Target(speedup={"SDPA and map": 1}, memory={"SDPA and map": 0.1})}


def softmax_stats(q: Tensor, k: Tensor, scale: float) -> tuple[Tensor, ...]:
    """The usual form: class row, column sums and row entropy of the attention map."""
    weights = (q @ k.transpose(-2, -1) * scale).softmax(dim=-1)
    entropy = -(weights * weights.log()).sum(dim=-1)
    return weights[:, :, 0].contiguous(), weights.sum(dim=-2), entropy


def log_softmax_stats(q: Tensor, k: Tensor, scale: float) -> tuple[Tensor, ...]:
    """The best eager form found: one logarithm per row, products summed without a temporary."""
    logs = ((q * scale) @ k.transpose(-2, -1)).log_softmax(dim=-1)
    weights = logs.exp()
    entropy = -torch.einsum("bhij,bhij->bhi", weights, logs)
    return weights[:, :, 0].contiguous(), weights.sum(dim=-2), entropy


def attention_and_map(q: Tensor, k: Tensor, v: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """What reading maps from a model costs that runs fused attention: the map beside it."""
    mixed = F.scaled_dot_product_attention(q, k, v, scale=scale)
    return mixed, (q @ k.transpose(-2, -1) * scale).softmax(dim=-1)


@cache
def compiled_stats() -> Callable[[Tensor, Tensor, float], tuple[Tensor, ...]]:
    return torch.compile(softmax_stats)


def case(device: str, images: int, tokens: int) -> Case:
    heads, channels = 3, 64
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    qkv = torch.randn(images, tokens, 3, heads, channels, device=device, dtype=dtype)
    q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
    scale = channels**-0.5

    def check() -> None:
        actual = kernels.self_attention_stats(q, k, statistics=STATISTICS)
        exact = softmax_stats(q.double(), k.double(), scale)
        for value, expected in zip(actual[:3], exact, strict=True):
            torch.testing.assert_close(value.double(), expected, rtol=1e-4, atol=0)

    return Case(
        "self_attention_stats",
        f"{images}x{heads}x{tokens}x{channels}",
        lambda: kernels.self_attention_stats(q, k, statistics=STATISTICS),
        {
            "softmax": lambda: softmax_stats(q, k, scale),
            "log_softmax": lambda: log_softmax_stats(q, k, scale),
            "torch.compile": lambda: compiled_stats()(q, k, scale),
            "SDPA and map": lambda: attention_and_map(q, k, v, scale),
        },
        check,
        *costs("self_attention_stats", q, k, None, scale, STATISTICS),
    )


def cases(device: str) -> dict[str, Builder]:
    return {
        f"{tokens}-tokens": partial(case, device, images, tokens)
        for images, tokens in ((64, 50), (32, 197), (8, 577))
    }
