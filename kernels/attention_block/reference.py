"""The attention half of a block in PyTorch's own operators: a norm, a product, attention, a product
that adds to the residual."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import layer_norm, linear

from ..packed_attention import reference as packed_attention
from .definition import Arguments

Attend = Callable[[Tensor, int, float], Tensor]


def forward(
    x: Tensor,
    w_qkv: Tensor,
    b_qkv: Tensor | None,
    w_proj: Tensor,
    b_proj: Tensor | None,
    heads: Sequence[int],
    eps: float,
    attend: Attend = packed_attention.forward,
) -> Tensor:
    """Results ``[K, N, T, C]`` of tokens ``[N, T, C]``, with a fused kernel for attention, or with
    its formula, which has tangents."""
    with torch.autocast(x.device.type, enabled=False):
        mixed = _mixed(attend, x, w_qkv, b_qkv, heads, eps).flatten(0, 1)
        rows = x.flatten(0, 1)
        start = rows if b_proj is None else rows + b_proj
        results = [
            torch.addmm(start, mixed[:, :width], w_proj[:, :width].t())
            for width in _widths(w_proj, heads)
        ]
        return torch.stack(results).unflatten(1, x.shape[:2])


def run(call: Arguments) -> None:
    """The same into ``out``, without a copy."""
    x, w_qkv, b_qkv, w_proj, b_proj, heads, eps, out = call
    with torch.autocast(x.device.type, enabled=False):
        mixed = _mixed(packed_attention.forward, x, w_qkv, b_qkv, heads, eps).flatten(0, 1)
        rows = x.flatten(0, 1)
        start = rows if b_proj is None else rows + b_proj
        for width, result in zip(_widths(w_proj, heads), out.flatten(1, 2).unbind(0), strict=True):
            torch.addmm(start, mixed[:, :width], w_proj[:, :width].t(), out=result)


def terms(
    x: Tensor,
    w_qkv: Tensor,
    b_qkv: Tensor | None,
    w_proj: Tensor,
    b_proj: Tensor | None,
    heads: Sequence[int],
    eps: float,
) -> tuple[Tensor, float, float]:
    """What the error bound is relative to, ``[K, N, T, C]``, and what it calls ``logits`` and
    ``slope``."""
    normed = layer_norm(x, x.shape[-1:], eps=eps)
    squares = (1 + normed.abs()).square() @ w_qkv.square().t()
    if b_qkv is not None:
        squares = squares + b_qkv.square()
    sizes = torch.maximum(linear(normed, w_qkv, b_qkv).abs(), squares.sqrt())
    q, k, v = sizes.unflatten(-1, (3, heads[-1], -1)).permute(2, 0, 3, 1, 4).unbind(0)
    scale = q.shape[-1] ** -0.5
    logits = scale * (q @ k.mT).max().item()
    slope = scale * (2 * q.square() @ k.square().mT).max().item() ** 0.5
    largest = v.amax(dim=(2, 3)).repeat_interleave(q.shape[-1], dim=1)
    start = x.abs() if b_proj is None else x.abs() + b_proj.abs()
    projected = [
        (largest[:, :width].square() @ w_proj[:, :width].square().t()).sqrt()
        for width in _widths(w_proj, heads)
    ]
    return torch.stack([start + size[:, None] for size in projected]), logits, slope


def _mixed(
    attend: Attend,
    x: Tensor,
    w_qkv: Tensor,
    b_qkv: Tensor | None,
    heads: Sequence[int],
    eps: float,
) -> Tensor:
    """All heads, ``[N, T, H D]``."""
    qkv = linear(layer_norm(x, x.shape[-1:], eps=eps), w_qkv, b_qkv)
    return attend(qkv, heads[-1], (w_qkv.shape[0] // (3 * heads[-1])) ** -0.5)


def _widths(w_proj: Tensor, heads: Sequence[int]) -> list[int]:
    """Channels of the first heads."""
    return [count * (w_proj.shape[1] // heads[-1]) for count in heads]
