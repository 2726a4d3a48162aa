"""Layer normalisation by PyTorch's own kernel."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import layer_norm

from .definition import Arguments


def run(call: Arguments) -> Tensor:
    """Rows ``[N, C]``, each normalised."""
    x = call.x
    with torch.autocast(x.device.type, enabled=False):
        return layer_norm(x, x.shape[-1:], eps=call.eps).contiguous()
