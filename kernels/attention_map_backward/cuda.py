"""The gradient of attention maps in CUDA C++."""

from __future__ import annotations

from torch import Tensor

from ..backend.cuda import extension, queue
from ..features import compiled
from ..features.reasons import cuda_reasons
from .definition import Arguments


def reasons(call: Arguments) -> tuple[str, ...]:
    """Why this backend cannot serve the call."""
    return cuda_reasons(call)


def run(call: Arguments) -> Tensor:
    """Gradient ``[B, H, W, C]`` of the features, in their dtype."""
    kernel = extension().attention_map_backward
    return compiled.backward(kernel, *call, *queue(call.x.device))
