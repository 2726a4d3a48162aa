"""Attention blocks in Triton on a real device, against fp64 on that device."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tvtfast.kernels import attention_block
from tvtfast.kernels.attention_block import reference as reference_attention_block
from tvtfast.kernels.dispatch import OPERATORS

from .tensors import attention_operands, need_memory

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("triton_device")]


@pytest.mark.parametrize("dtype", (torch.float16, torch.bfloat16))
@pytest.mark.parametrize("biases", (False, True))
@pytest.mark.parametrize(
    ("shape", "dim", "heads"),
    [
        ((1, 1, 2), 2, (1,)),
        ((3, 33, 48), 8, (2, 6)),
        ((5, 64, 128), 16, (1, 3, 5, 7)),
        ((64, 197, 192), 64, (3,)),
        ((64, 197, 192), 48, (4,)),
        ((64, 197, 216), 54, (4,)),
        ((64, 197, 240), 80, (2, 3)),
        ((2, 577, 256), 80, (4,)),
    ],
)
def test_attention_block(
    dtype: torch.dtype, biases: bool, shape: tuple[int, int, int], dim: int, heads: tuple[int, ...]
) -> None:
    arguments: list[Tensor | None] = [*attention_operands(shape, dim * heads[-1], dtype)]
    if not biases:
        arguments[2] = arguments[4] = None
    given = {"num_heads": heads[-1], "heads": heads}
    actual = attention_block(*arguments, **given, backend="triton")
    wide = [None if t is None else t.double() for t in arguments]
    spread, logits, slope = reference_attention_block.terms(*wide, heads, 1e-5)
    extent = (wide[0].abs() / (wide[0].var(dim=-1, correction=0, keepdim=True) + 1e-5).sqrt()).max()
    length = max(*shape[1:], dim * heads[-1])
    bound = OPERATORS["attention_block"].tolerance(dtype, length, float(extent), logits, slope)
    exact = attention_block(*wide, **given, backend="reference")
    assert actual.dtype == dtype and ((actual - exact).abs() <= bound * spread).all()
    # sharper: PyTorch's operators round the same values, one by one
    plain = attention_block(*arguments, **given, backend="reference")
    assert (actual - exact).norm() <= 2 * (plain - exact).norm()


def test_attention_block_of_nans() -> None:
    x, *weights = attention_operands((3, 197, 216), 3 * 72, torch.bfloat16)
    clean = attention_block(x, *weights, num_heads=3, backend="triton")
    x[1, 196, 5] = torch.nan
    actual = attention_block(x, *weights, num_heads=3, backend="triton")
    assert actual[1].isnan().all() and torch.equal(actual[::2], clean[::2])


def test_attention_block_beyond_32_bits() -> None:
    need_memory(32)
    x, *weights = attention_operands((1, 197, 256), 128, torch.bfloat16)
    images = x.new_zeros(43_000, 197, 256)
    assert images.numel() > 2**31
    images[-1] = x[0]
    every = attention_block(images, *weights, num_heads=2, heads=(1, 2), backend="triton")
    alone = attention_block(x, *weights, num_heads=2, heads=(1, 2), backend="triton")
    assert torch.equal(every[:, -1:], alone)
