"""Dtypes of inputs, the dtype that results and sums have, and how far it rounds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

SUPPORTED_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
"""Input dtypes of every operator."""


def accumulation_dtype(dtype: torch.dtype) -> torch.dtype:
    """Format of results and, at least, of sums: fp64 for fp64 inputs, else fp32."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def roundoff(dtype: torch.dtype) -> float:
    """Unit roundoff ``u`` of a floating-point dtype."""
    return torch.finfo(dtype).eps / 2


@contextmanager
def no_autocast(x: Tensor) -> Iterator[None]:
    """Autocast would take products of fp32 matrices in half precision."""
    if not torch.amp.is_autocast_available(x.device.type):
        yield
        return
    with torch.autocast(x.device.type, enabled=False):
        yield
