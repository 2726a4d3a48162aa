"""The C++ kernel of gram: every instruction set, every way a call is cut, and nothing beyond it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tvtfast.kernels import gram
from tvtfast.kernels.backend.native import DTYPE_CODES
from tvtfast.kernels.dispatch import OPERATORS
from tvtfast.kernels.gram import native as native_gram

DTYPES = tuple(DTYPE_CODES)
LONGEST = 5000
"""Of a row: its columns are taken in several steps, shared by several threads."""
SHAPES = (
    (1, 1, 1),
    (3, 5, 17),
    (2, 49, 63),
    (1, 65, 129),
    (1, 300, 70),
    (17, 24, 33),
    (1, 7, LONGEST),
)
"""Matrices, rows, length: less and more than a panel, a block of rows, and units to share."""


def run(name: str, x: Tensor, y: Tensor | None = None, relative: bool = False) -> Tensor:
    return native_gram.run(native_gram.Arguments(x, y, relative), instruction_set=name)


def assert_gram(actual: Tensor, x: Tensor, y: Tensor | None = None, relative: bool = False) -> None:
    left = x.double()
    left = left - left[:, :1] if relative else left
    right = left if y is None else y.double()[torch.arange(len(x)) % len(y)]
    exact = left @ right.mT
    lengths = left.norm(dim=-1)[:, :, None] * right.norm(dim=-1)[:, None]
    bound = OPERATORS["gram"].tolerance(x.dtype, x.shape[-1]) * lengths
    assert actual.dtype == torch.float32 and actual.shape == exact.shape
    assert ((actual - exact).abs() <= bound).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_kernel(
    instruction_set: str, dtype: torch.dtype, shape: tuple[int, int, int]
) -> None:
    matrices, _, length = shape
    x = (1 + torch.randn(shape)).to(dtype)
    own = run(instruction_set, x)
    assert_gram(own, x)
    assert torch.equal(own, own.mT)
    assert_gram(run(instruction_set, x, relative=True), x, relative=True)
    for shared in {1, matrices}:
        y = torch.randn(shared, 53, length).to(dtype)
        assert_gram(run(instruction_set, x, y), x, y)


@pytest.mark.parametrize("dtype", DTYPES)
def test_reads_its_operands_and_nothing_else(instruction_set: str, dtype: torch.dtype) -> None:
    for matrices, rows, length in SHAPES:
        padded = torch.full((matrices + 1, rows + 2, length + 5), torch.nan, dtype=dtype)
        x = padded[1:, 1:-1, 2:-3]
        x.copy_(torch.randn(x.shape))
        assert_gram(run(instruction_set, x), x)
        assert_gram(run(instruction_set, x, relative=True), x, relative=True)
        assert_gram(run(instruction_set, x, x[:1]), x, x[:1])


def test_strides(instruction_set: str) -> None:
    base = torch.randn(4, 30, 1024)
    for x in (base[::2], base[:, ::3], base[..., ::2], base.mT, base[:1].expand(3, -1, -1)):
        assert_gram(run(instruction_set, x), x)
        assert_gram(run(instruction_set, x, x[:1, 2:9]), x, x[:1, 2:9])
    rows = base[:1, :1].expand(1, 5, 1024)
    assert_gram(run(instruction_set, rows), rows)


def test_nan_and_infinity_stay_in_their_row(instruction_set: str) -> None:
    x = torch.randn(1, 60, LONGEST)
    for value in (torch.nan, torch.inf):
        dirty = x.clone()
        dirty[0, 50, 4000] = value
        clean, actual = run(instruction_set, x), run(instruction_set, dirty)
        others = torch.arange(60) != 50
        assert torch.equal(actual[:, others][..., others], clean[:, others][..., others])
        assert not actual[0, 50].isfinite().any() and not actual[0, :, 50].isfinite().any()


def test_threads_do_not_change_bits(native: str, threads: None) -> None:
    for shape in ((1, 64, 40_000), (5, 300, 90), (20, 40, 900)):
        x, results = torch.randn(shape), []
        for count in (1, 2, 3, 7):
            torch.set_num_threads(count)
            results.append((gram(x, backend=native), gram(x, x[:1], backend=native)))
        for result in results[1:]:
            assert all(map(torch.equal, result, results[0]))
