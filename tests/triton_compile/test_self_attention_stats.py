"""Compiled kernels of statistics of attention."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor

from tvtfast.kernels.self_attention_stats.definition import STATISTICS

from .compiling import DTYPES, KERNELS, Compiled, arguments_of, self_attention_stats


def queries_and_keys(
    dtype: torch.dtype, tokens: int, channels: int, heads: int = 3
) -> tuple[Tensor, ...]:
    """Views into a fused projection."""
    qkv = torch.empty(2, tokens, 3, heads, channels, dtype=dtype)
    q, k, _ = qkv.permute(2, 0, 3, 1, 4).unbind(0)
    return q, k


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("tokens", "channels"), [(7, 64), (50, 48), (197, 80), (577, 256)])
def test_self_attention_stats(
    compiled: Compiled, dtype: torch.dtype, tokens: int, channels: int
) -> None:
    q, k = queries_and_keys(dtype, tokens, channels)
    teacher = torch.empty(2, tokens)
    self_attention_stats.stats(
        arguments_of("self_attention_stats", q, k, teacher, 0.125, STATISTICS)
    )
    for name in KERNELS[self_attention_stats]:
        ptx = compiled.ptx(name)
        assert re.search(r"\b(?:mma|wgmma\.mma_async)\.sync\.", ptx), "no tensor cores"
        assert re.search(r"cp\.async\.cg|ld\.global\S*\.v4\.b32", ptx), "no 16-byte accesses"


def test_self_attention_stats_of_odd_strides(compiled: Compiled) -> None:
    q, k = queries_and_keys(torch.float32, 50, 65)
    self_attention_stats.stats(
        arguments_of("self_attention_stats", q[..., 1:], k[..., :-1], None, 0.125, ["class_row"])
    )
    assert not compiled["_mean_kernel"]


def test_numbers_of_tokens_and_heads_share_one_kernel(compiled: Compiled) -> None:
    for tokens in (65, 197, 208):
        for heads in (1, 3, 16):
            q, k = queries_and_keys(torch.bfloat16, tokens, 64, heads)
            self_attention_stats.stats(
                arguments_of("self_attention_stats", q, k, None, 0.125, STATISTICS)
            )
    for name in KERNELS[self_attention_stats]:
        assert len({kernel.hash for kernel in compiled[name]}) == 1, name
