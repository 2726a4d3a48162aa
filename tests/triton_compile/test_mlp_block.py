"""Compiled kernels of MLP blocks."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch

from .compiling import Compiled, arguments_of, mlp_block


def block_operands(
    dtype: torch.dtype, channels: int, hidden: tuple[int, ...], biases: bool
) -> tuple[Any, ...]:
    """Arguments of the launcher, for a batch of candidates."""
    x = torch.empty(197, channels, dtype=dtype)
    w1 = torch.empty(hidden[-1], channels, dtype=dtype)
    b1, b2 = (w1[:, 0], x[0]) if biases else (None, None)
    out = torch.empty(len(hidden), *x.shape, dtype=dtype)
    return x, w1, b1, w1.t().contiguous(), b2, hidden, 1e-6, out


@pytest.mark.parametrize(
    ("dtype", "channels", "hidden", "biases"),
    [
        (torch.bfloat16, 192, (672, 768), False),
        (torch.bfloat16, 216, (756,), False),
        (torch.float16, 256, (512, 1024), True),
        (torch.bfloat16, 48, (96, 144, 192), True),
    ],
)
def test_mlp_block(
    compiled: Compiled, dtype: torch.dtype, channels: int, hidden: tuple[int, ...], biases: bool
) -> None:
    mlp_block.write(arguments_of("mlp_block", *block_operands(dtype, channels, hidden, biases)))
    (kernel,) = compiled["_block_kernel"]
    ptx = kernel.asm["ptx"]
    assert re.search(r"\b(?:mma|wgmma\.mma_async)\.sync\.", ptx), "no tensor cores"
    whole_vectors = all(width % 8 == 0 for width in hidden)
    copies = r"cp\.async\.cg\S* .*0x10\b" if whole_vectors else r"cp\.async\.ca\S* .*0x8\b"
    assert re.search(copies, ptx), "weights are not copied in the background"


def test_widths_share_one_block_kernel(compiled: Compiled) -> None:
    for channels in (192, 216, 240, 256):
        for hidden in ((4 * channels,), (3 * channels, 4 * channels)):
            mlp_block.write(
                arguments_of("mlp_block", *block_operands(torch.bfloat16, channels, hidden, False))
            )
    assert len({kernel.hash for kernel in compiled["_block_kernel"]}) == 1
