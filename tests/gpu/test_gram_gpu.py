"""Gram matrices in Triton on a real device, against fp64 on that device."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tvtfast.kernels import gram
from tvtfast.kernels.dispatch import OPERATORS

from .tensors import DTYPES, need_memory, random

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("triton_device")]


def gram_rows(dtype: torch.dtype, layout: str, rows: int, length: int) -> Tensor:
    """Rows ``[K, n, M]``."""
    if layout == "columns":
        return random(3, 1 + length, rows, dtype=dtype)[:, 1:].mT
    if layout == "unaligned":
        return random(3, rows, 1 + length, dtype=dtype)[:, :, 1:]
    return random(3, rows, length, dtype=dtype)


def assert_products(actual: Tensor, x: Tensor, y: Tensor, dtype: torch.dtype) -> None:
    bound = OPERATORS["gram"].tolerance(dtype, x.shape[-1])
    lengths = x.norm(dim=-1).unsqueeze(-1) * y.norm(dim=-1).unsqueeze(-2)
    assert ((actual - x @ y.mT).abs() <= bound * lengths).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ("rows", "columns", "unaligned"))
@pytest.mark.parametrize(
    ("rows", "length"), [(1, 1), (7, 197), (64, 42336), (65, 1000), (128, 37632), (216, 196)]
)
def test_gram(dtype: torch.dtype, layout: str, rows: int, length: int) -> None:
    """Values of one sign, so that sums that truncate drift as far as they can."""
    x = gram_rows(dtype, layout, rows, length).abs_()
    y = random(1, 33, length, dtype=dtype).abs()
    exact = x.double()
    assert_products(gram(x, backend="triton"), exact, exact, dtype)
    assert_products(gram(x, y, backend="triton"), exact, y.double(), dtype)
    exact = exact - exact[:, :1]
    assert_products(gram(x, relative=True, backend="triton"), exact, exact, dtype)


def test_gram_beyond_32_bits() -> None:
    need_memory(12)
    x = torch.zeros(2**15 + 8, 4, 2**14 + 8, dtype=torch.bfloat16, device="cuda")
    assert x.numel() > 2**31
    x[-1] = random(4, x.shape[2]).bfloat16()
    products = gram(x, backend="triton")
    exact = x[-1:].double()
    assert_products(products[-1:], exact, exact, torch.bfloat16)
    assert not products[:-1].any()
