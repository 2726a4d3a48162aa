"""An MLP block in PyTorch's own operators: a norm, two products, a GELU, and a residual."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import gelu, layer_norm, linear

from .definition import Arguments


def forward(
    x: Tensor,
    w1: Tensor,
    b1: Tensor | None,
    w2: Tensor,
    b2: Tensor | None,
    hidden: Sequence[int],
    eps: float,
) -> Tensor:
    """Results ``[K, M, C]`` of rows ``[M, C]``."""
    with torch.autocast(x.device.type, enabled=False):
        active = _active(x, w1, b1, hidden, eps)
        start = x if b2 is None else x + b2
        return torch.stack(
            [torch.addmm(start, active[:, :width], w2[:, :width].t()) for width in hidden]
        )


def run(call: Arguments) -> None:
    """The same into ``out``, without a copy."""
    x, w1, b1, w2, b2, hidden, eps, out = call
    with torch.autocast(x.device.type, enabled=False):
        active = _active(x, w1, b1, hidden, eps)
        start = x if b2 is None else x + b2
        for width, result in zip(hidden, out.unbind(0), strict=True):
            torch.addmm(start, active[:, :width], w2[:, :width].t(), out=result)


def spread(
    x: Tensor,
    w1: Tensor,
    b1: Tensor | None,
    w2: Tensor,
    b2: Tensor | None,
    hidden: Sequence[int],
    eps: float,
) -> Tensor:
    """What the error bound is relative to: the size of the terms of a result, ``[K, M, C]``."""
    normed = layer_norm(x, x.shape[-1:], eps=eps)
    squares = (1 + normed.abs()).square() @ w1.square().t()
    if b1 is not None:
        squares = squares + b1.square()
    start = x.abs() if b2 is None else x.abs() + b2.abs()
    return torch.stack([start + (squares[:, :k] @ w2[:, :k].square().t()).sqrt() for k in hidden])


def _active(x: Tensor, w1: Tensor, b1: Tensor | None, hidden: Sequence[int], eps: float) -> Tensor:
    """What the second product reads, at the largest width."""
    widest = hidden[-1]
    bias = None if b1 is None else b1[:widest]
    return gelu(linear(layer_norm(x, x.shape[-1:], eps=eps), w1[:widest], bias))
