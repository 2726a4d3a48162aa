"""Compiled kernels of attention and its tangent."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor

from .compiling import DTYPES, Compiled, arguments_of, attention_jvp


def dual_operands(dtype: torch.dtype, tokens: int, channels: int, heads: int = 3) -> list[Tensor]:
    """Views into a fused projection and its tangent."""
    both = torch.empty(2, 2, tokens, 3, heads, channels, dtype=dtype)
    return list(both.permute(0, 3, 1, 4, 2, 5).flatten(0, 1).unbind(0))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("tokens", "channels"), [(7, 64), (784, 8), (49, 16), (197, 80), (196, 128)]
)
def test_attention_jvp(compiled: Compiled, dtype: torch.dtype, tokens: int, channels: int) -> None:
    attention_jvp.forward(
        arguments_of("attention_jvp", *dual_operands(dtype, tokens, channels), 0.125)
    )
    ptx = compiled.ptx("_dual_kernel")
    assert re.search(r"\b(?:mma|wgmma\.mma_async)\.sync\.", ptx), "no tensor cores"
    assert re.search(r"cp\.async\.cg|ld\.global\S*\.v4\.b32", ptx), "no 16-byte accesses"


def test_windows_and_heads_share_one_dual_kernel(compiled: Compiled) -> None:
    for tokens in (65, 196, 784):
        for heads in (1, 4):
            attention_jvp.forward(
                arguments_of(
                    "attention_jvp", *dual_operands(torch.bfloat16, tokens, 8, heads), 0.35
                )
            )
    assert len({kernel.hash for kernel in compiled["_dual_kernel"]}) == 1
