"""A linear layer and what stands around it, by PyTorch's own kernels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .definition import Arguments


def forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    residual: Tensor | None,
    norm_eps: float | None,
    gelu: bool,
) -> Tensor:
    """``[M, N]`` of rows ``[M, K]``."""
    with torch.autocast(x.device.type, enabled=False):
        product = F.linear(_normed(x, norm_eps), weight, bias)
        active = F.gelu(product) if gelu else product
        return active if residual is None else residual + active


def run(call: Arguments) -> None:
    """The same, to ``out``; without GELU everything is added where the product is."""
    out, x, weight, bias, residual, norm_eps, gelu = call
    if gelu and residual is not None:
        out.copy_(forward(*call[1:]))
        return
    terms = [term for term in (residual, bias) if term is not None]
    with torch.autocast(x.device.type, enabled=False):
        normed = _normed(x, norm_eps)
        if terms:
            start = terms[0] if len(terms) == 1 else terms[0] + terms[1]
            torch.addmm(start, normed, weight.t(), out=out)
        else:
            torch.mm(normed, weight.t(), out=out)
        if gelu:
            torch.ops.aten.gelu_.default(out)


def _normed(x: Tensor, eps: float | None) -> Tensor:
    return x if eps is None else F.layer_norm(x, x.shape[-1:], eps=eps)
