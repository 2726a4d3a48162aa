"""The gradient of statistics of self-attention in plain PyTorch."""

from __future__ import annotations

from torch import Tensor

from .definition import Arguments
from .formula import attention_gradients


def run(call: Arguments) -> list[Tensor]:
    """Gradients of queries, keys and the teacher where there is one."""
    return attention_gradients(*call)
