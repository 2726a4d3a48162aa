"""Triton's names of element types, for addresses that come from a table."""

from __future__ import annotations

import torch
import triton.language as tl

TYPES = {torch.float32: tl.float32, torch.float16: tl.float16, torch.bfloat16: tl.bfloat16}
