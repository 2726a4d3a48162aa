"""Dtypes of inputs, the dtype that results and sums have, and how far it rounds."""

from __future__ import annotations

import torch

SUPPORTED_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
"""Input dtypes of every operator."""


def accumulation_dtype(dtype: torch.dtype) -> torch.dtype:
    """Format of results and, at least, of sums: fp64 for fp64 inputs, else fp32."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def roundoff(dtype: torch.dtype) -> float:
    """Unit roundoff ``u`` of a floating-point dtype."""
    return torch.finfo(dtype).eps / 2
