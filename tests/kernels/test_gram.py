"""gram against fp64, its derivatives, and gram and angle_distance as PyTorch sees them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from tvtfast import kernels
from tvtfast.kernels import gram
from tvtfast.kernels.dispatch import OPERATORS

DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


def assert_products(
    actual: Tensor, x: Tensor, y: Tensor | None = None, relative: bool = False
) -> None:
    """Errors relative to the lengths of both rows."""
    bound = OPERATORS["gram"].tolerance(x.dtype, x.shape[-1])
    left, right = x.double(), (x if y is None else y).double()
    if relative:
        left = right = left - left[..., :1, :]
    exact = torch.einsum("...im,...jm->...ij", left, right)
    lengths = left.norm(dim=-1).unsqueeze(-1) * right.norm(dim=-1).unsqueeze(-2)
    assert actual.dtype == (torch.float64 if x.dtype == torch.float64 else torch.float32)
    assert actual.shape == exact.shape
    assert ((actual - exact).abs() <= bound * lengths).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (7, 197), (16, 15), (65, 16), (2, 3, 5, 7), (0, 3, 4)])
def test_products(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    x = torch.randn(shape).to(dtype)
    y = torch.randn(*shape[:-2], 3, shape[-1]).to(dtype)
    assert_products(gram(x), x)
    assert_products(gram(x, y), x, y)
    assert_products(gram(x, relative=True), x, relative=True)


@pytest.mark.parametrize("shape", [(3, 0), (0, 5), (2, 0, 0)])
def test_empty_rows(shape: tuple[int, ...]) -> None:
    x = torch.empty(shape, requires_grad=True)
    products = gram(x)
    assert torch.equal(products, torch.zeros(*shape[:-1], shape[-2]))
    products.sum().backward()
    assert x.grad is not None and x.grad.shape == shape


@pytest.mark.parametrize("leading", [(), (1,), (3,), (1, 3), (2, 1), (2, 3)])
def test_broadcast(leading: tuple[int, ...]) -> None:
    x, y = torch.randn(2, 3, 4, 6), torch.randn(*leading, 5, 6)
    torch.testing.assert_close(gram(x, y), x @ y.mT)


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(1, 9), length=st.integers(1, 40), shift=st.floats(-1e3, 1e3))
def test_relative_products_do_not_see_a_shift(rows: int, length: int, shift: float) -> None:
    x = torch.randn(rows, length, dtype=torch.float64)
    torch.testing.assert_close(gram(x + shift, relative=True), gram(x, relative=True))


def test_relative_rows_do_not_cancel() -> None:
    """Rows that differ by a thousandth of what they share keep their distances."""
    x = 1000 + torch.randn(6, 300)
    exact = torch.cdist(x.double(), x.double()).square()

    def distances(products: Tensor) -> Tensor:
        squares = products.diagonal()
        return squares[:, None] + squares - 2 * products

    error = (distances(gram(x, relative=True)) - exact).abs().max()
    assert error <= 4 * OPERATORS["gram"].tolerance(torch.float32, 300) * exact.max()
    assert (distances(gram(x)) - exact).abs().max() > 100 * error


def test_autocast_does_not_reach_the_products() -> None:
    x, y = torch.randn(2, 5, 33, requires_grad=True), torch.randn(4, 33)
    plain = gram(x), gram(x, y)
    expected = torch.autograd.grad(plain[0].sum() + plain[1].sum(), x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = gram(x), gram(x, y)
        assert all(map(torch.equal, actual, plain))
        assert torch.equal(torch.autograd.grad(actual[0].sum() + actual[1].sum(), x)[0], *expected)


@pytest.mark.parametrize("relative", (False, True))
def test_gradcheck_of_one_operand(relative: bool) -> None:
    x = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x: gram(x, relative=relative), (x,))
    assert gradgradcheck(lambda x: gram(x, relative=relative), (x,))


@pytest.mark.parametrize("leading", [(), (2,), (2, 1)])
def test_gradcheck_of_two_operands(leading: tuple[int, ...]) -> None:
    x = torch.randn(2, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    y = torch.randn(*leading, 2, 4, dtype=torch.float64, requires_grad=True)
    assert gradcheck(gram, (x, y))
    assert gradgradcheck(gram, (x, y))


@pytest.mark.parametrize("dtype", DTYPES[1:3])
def test_gradients_have_the_dtypes_of_their_operands(dtype: torch.dtype) -> None:
    x, y = (torch.randn(3, 9, dtype=dtype, requires_grad=True) for _ in range(2))
    (gram(x).sum() + gram(x, y).sum()).backward()
    exact_x = 2 * x.detach().double().sum(0) + y.detach().double().sum(0)
    assert x.grad is not None and x.grad.dtype == dtype
    torch.testing.assert_close(x.grad.double(), exact_x.expand(3, 9), rtol=2**-7, atol=2**-7)
    assert y.grad is not None and y.grad.dtype == dtype


def grams() -> tuple[Tensor, Tensor]:
    return gram(torch.randn(4, 5, 9), relative=True), gram(torch.randn(2, 5, 7), relative=True)


def test_opcheck() -> None:
    ops = torch.ops.tvtfast
    for x in (torch.randn(2, 3, 4), torch.randn(2, 4, 3).mT, torch.randn(2, 3, 4).bfloat16()):
        x.requires_grad_()
        for relative in (False, True):
            torch.library.opcheck(ops.gram, (x, None, relative))
        for rows in (1, 2):
            y = torch.randn(rows, 5, 4).to(x.dtype).requires_grad_()
            torch.library.opcheck(ops.gram, (x, y, False))
    torch.library.opcheck(ops.angle_distance, tuple(g.requires_grad_() for g in grams()))


def test_angle_distance_has_derivatives() -> None:
    inputs = tuple(g.double().requires_grad_() for g in grams())
    assert gradcheck(torch.ops.tvtfast.angle_distance, inputs)
    assert gradgradcheck(torch.ops.tvtfast.angle_distance, inputs)


@pytest.mark.parametrize("transform", (torch.func.grad, torch.func.hessian, torch.func.jacfwd))
def test_transforms_match(transform: Callable[..., Callable[[Tensor], Tensor]]) -> None:
    x, y = torch.randn(3, 4, dtype=torch.float64), torch.randn(2, 4, dtype=torch.float64)
    actual = transform(lambda x: gram(x).square().sum() + gram(x, y).pow(3).sum())(x)
    expected = transform(lambda x: (x @ x.mT).square().sum() + (x @ y.mT).pow(3).sum())(x)
    torch.testing.assert_close(actual, expected)
    assert expected.abs().max() > 0


def test_vmap_matches() -> None:
    x, y = torch.randn(3, 4, 5), torch.randn(2, 5)
    torch.testing.assert_close(torch.vmap(lambda x: gram(x, y))(x), gram(x, y))
    with pytest.raises(kernels.BackendError, match="torch.func"):
        torch.vmap(lambda x: gram(x, backend="triton"))(x)


def test_meta_tensors() -> None:
    x = torch.empty(2, 3, 8, device="meta", dtype=torch.bfloat16)
    products = gram(x, torch.empty(5, 8, device="meta", dtype=torch.bfloat16))
    assert products.shape == (2, 3, 5) and products.dtype == torch.float32


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"x": torch.ones(3)}, ValueError, r"x has shape \(3,\); pass rows"),
        ({"x": torch.ones(2, 3, dtype=torch.int64)}, TypeError, "int64.*allowed: float32"),
        ({"x": torch.ones(2, 3), "y": torch.ones(2, 3).half()}, TypeError, "y is torch.float16"),
        ({"x": torch.ones(2, 3), "y": torch.ones(2, 4)}, ValueError, "rows of equal length"),
        ({"x": torch.ones(2, 2, 3), "y": torch.ones(3, 2, 3)}, ValueError, "does not broadcast"),
        ({"x": torch.ones(2, 3), "y": torch.ones(2, 3), "relative": True}, ValueError, "leave y"),
        ({"x": torch.ones(2, 3), "y": torch.ones(2, 3, device="meta")}, ValueError, "y is on meta"),
        ({"x": torch.ones(2, 3), "backend": "cuda"}, kernels.BackendError, "no backend 'cuda'"),
    ],
)
def test_wrong_arguments(
    arguments: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        gram(**arguments)
