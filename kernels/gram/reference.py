"""Gram matrices in plain PyTorch; differentiable, traceable and open to every transform."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..dtypes import accumulation_dtype, no_autocast

if TYPE_CHECKING:
    from .definition import Arguments


def run(call: Arguments) -> Tensor:
    """Inner products of rows ``[K, n, m]``; matrix ``k`` of x meets ``k % T`` of y."""
    x, y, relative = call
    wide = _relative(x.to(accumulation_dtype(x.dtype)), relative)
    with no_autocast(x):
        if y is None:
            return wide @ wide.mT
        return (_folded(wide, y) @ y.to(wide.dtype).mT).flatten(0, 1)


def backward(x: Tensor, relative: bool, grad: Tensor) -> Tensor:
    """Gradient of the only operand, in its dtype: ``(g + g^T) x``."""
    wide = _relative(x.to(grad.dtype), relative)
    with no_autocast(x):
        grad_x = (grad + grad.mT) @ wide
    if relative:
        first = grad_x[:, :1] - grad_x.sum(dim=1, keepdim=True)
        grad_x = torch.cat((first, grad_x[:, 1:]), dim=1)
    return grad_x.to(x.dtype)


def backward_x(y: Tensor, grad: Tensor) -> Tensor:
    """Gradient of the first of two operands: ``g y``."""
    with no_autocast(y):
        return (_folded(grad, y) @ y.to(grad.dtype)).flatten(0, 1).to(y.dtype)


def backward_y(x: Tensor, y: Tensor, grad: Tensor) -> Tensor:
    """Gradient of the second: ``g^T x``, summed over the matrices that share it."""
    with no_autocast(x):
        return (_folded(grad, y).mT @ _folded(x.to(grad.dtype), y)).sum(dim=0).to(y.dtype)


def _relative(wide: Tensor, relative: bool) -> Tensor:
    return wide - wide[:, :1] if relative else wide


def _folded(x: Tensor, y: Tensor) -> Tensor:
    """``[K, n, M]`` as ``[K / T, T, n, M]``."""
    return x.unflatten(0, (x.shape[0] // max(y.shape[0], 1), y.shape[0]))
