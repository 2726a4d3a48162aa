"""The gradient of attention maps, an operator that their derivatives call."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .. import library

_ops = getattr(torch.ops, library.NAMESPACE)


def gradient(
    x: Tensor,
    values: Tensor,
    norm: Tensor,
    grad_map: Tensor,
    size: Sequence[int],
    backend: str | None,
) -> Tensor:
    """Gradient of features from that of their map."""
    found: Tensor = _ops.attention_map_backward(x, values, norm, grad_map, size, backend=backend)
    return found


def refuse_second_derivative() -> None:
    """Raise ``RuntimeError`` where a gradient shall be differentiable itself."""
    if torch.is_grad_enabled():
        raise RuntimeError(
            "attention maps are differentiable once, but create_graph=True asks for a gradient that"
            " can be differentiated again; use torch.func.grad, inside which they are plain PyTorch"
        )
