"""Triton's names of element types."""

from __future__ import annotations

import torch
import triton.language as tl

from ..backend.triton import interpreting

TYPES = {torch.float32: tl.float32, torch.float16: tl.float16, torch.bfloat16: tl.bfloat16}


def factor_type(dtype: torch.dtype) -> tl.dtype:
    """What products take tensors of this type as; the interpreter knows none of bf16."""
    return tl.float32 if interpreting() else TYPES[dtype]
