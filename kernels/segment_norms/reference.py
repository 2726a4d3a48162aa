"""Norms of many tensors, one PyTorch call each."""

from __future__ import annotations

import torch
from torch import Tensor

from ..dtypes import accumulation_dtype
from .definition import Arguments


def run(call: Arguments) -> Tensor:
    """L2 norm of each tensor ``[n]``, summed in fp64; fp64 if any tensor is, else fp32."""
    tensors = call.tensors
    values = [torch.linalg.vector_norm(tensor, dtype=torch.float64) for tensor in tensors]
    wide = any(tensor.dtype == torch.float64 for tensor in tensors)
    return torch.stack(values).to(accumulation_dtype(torch.float64 if wide else torch.float32))
