"""The gradient of statistics of self-attention, an operator that their derivative calls."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .. import library
from ..backend.reference import NAME
from .formula import attention_gradients

_ops = getattr(torch.ops, library.NAMESPACE)


def gradients(
    q: Tensor,
    k: Tensor,
    teacher: Tensor | None,
    scale: float,
    statistics: Sequence[str],
    grads: Sequence[Tensor],
) -> list[Tensor]:
    """Gradients of queries, keys and the teacher where there is one, from those of the statistics.

    They are differentiable themselves where gradients are recorded (``create_graph=True``).
    """
    arguments = (q, k, teacher, scale, statistics, grads)
    if torch.is_grad_enabled():
        return attention_gradients(*arguments)
    found: list[Tensor] = _ops.self_attention_stats_backward(*arguments, backend=NAME)
    return found
