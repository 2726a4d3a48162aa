"""Compiled kernels of attention blocks."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch

from .compiling import KERNELS, Compiled, arguments_of, attention_block


def attention_operands(
    dtype: torch.dtype, channels: int, dim: int, heads: tuple[int, ...], biases: bool
) -> tuple[Any, ...]:
    """Arguments of the launcher, for two images of a candidate."""
    inner = heads[-1] * dim
    x = torch.empty(2, 197, channels, dtype=dtype)
    w_qkv = torch.empty(3 * inner, channels, dtype=dtype)
    w_proj = torch.empty(channels, inner, dtype=dtype)
    b_qkv, b_proj = (w_qkv[:, 0], w_proj[:, 0]) if biases else (None, None)
    out = torch.empty(len(heads), *x.shape, dtype=dtype)
    return x, w_qkv, b_qkv, w_proj, b_proj, heads, 1e-6, out


@pytest.mark.parametrize(
    ("dtype", "channels", "dim", "heads", "biases"),
    [
        (torch.bfloat16, 192, 64, (3,), False),
        (torch.bfloat16, 216, 54, (4,), False),
        (torch.bfloat16, 240, 80, (3,), False),
        (torch.float16, 256, 80, (1, 2), True),
        (torch.bfloat16, 48, 8, (2, 4, 6), True),
    ],
)
def test_attention_block(
    compiled: Compiled,
    dtype: torch.dtype,
    channels: int,
    dim: int,
    heads: tuple[int, ...],
    biases: bool,
) -> None:
    attention_block.write(
        arguments_of("attention_block", *attention_operands(dtype, channels, dim, heads, biases))
    )
    for name in KERNELS[attention_block]:
        (kernel,) = compiled[name]
        ptx = kernel.asm["ptx"]
        assert re.search(r"\b(?:mma|wgmma\.mma_async)\.sync\.", ptx), "no tensor cores"
        whole_vectors = dim % 8 == 0 or name == "_project_kernel"
        copies = r"cp\.async\.cg\S* .*0x10\b" if whole_vectors else r"cp\.async\.ca\S* .*0x4\b"
        if dim >= 48:  # smaller tiles have fewer bytes than threads
            assert re.search(copies, ptx), "nothing is copied in the background"


def test_widths_share_attention_kernels(compiled: Compiled) -> None:
    for channels, dim, heads in ((192, 64, (3,)), (216, 64, (3, 4)), (240, 48, (4,))):
        arguments = attention_operands(torch.bfloat16, channels, dim, heads, False)
        attention_block.write(arguments_of("attention_block", *arguments))
    for name in KERNELS[attention_block]:
        assert len({kernel.hash for kernel in compiled[name]}) == 1, name
