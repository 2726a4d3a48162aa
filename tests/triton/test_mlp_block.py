"""An MLP block from the interpreted kernel against fp64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tvtfast.kernels import BackendError, mlp_block
from tvtfast.kernels.linear.definition import gelu_tolerance
from tvtfast.kernels.mlp_block import reference
from tvtfast.kernels.mlp_block import triton as backend
from tvtfast.kernels.mlp_block.definition import tolerance as mlp_block_tolerance

pytest.importorskip("triton")

import triton
import triton.language as tl

from tvtfast.kernels.mlp_block import triton_kernels as module

HALF = torch.float16
"""The interpreter truncates what is stored in bf16."""
EPS = 1e-6


def operands(
    rows: int, channels: int, hidden: int, biases: bool = True
) -> tuple[Tensor, Tensor, Tensor | None, Tensor, Tensor | None]:
    x, w1, w2 = (
        torch.randn(shape).to(HALF)
        for shape in ((rows, channels), (hidden, channels), (channels, hidden))
    )
    b1, b2 = (torch.randn(count).to(HALF) if biases else None for count in (hidden, channels))
    return 1 + 2 * x, w1 / 8, b1, w2 / 8, b2


def assert_block(arguments: tuple[Tensor | None, ...], hidden: tuple[int, ...]) -> Tensor:
    actual = mlp_block(*arguments, hidden=hidden, eps=EPS, backend="triton")
    wide = [None if tensor is None else tensor.double() for tensor in arguments]
    x = wide[0]
    extent = (x.abs() / (x.var(dim=-1, correction=0, keepdim=True) + EPS).sqrt()).max()
    bound = mlp_block_tolerance(HALF, max(x.shape[-1], hidden[-1]), float(extent))
    error = (actual - reference.forward(*wide, hidden, EPS)).abs()
    assert actual.dtype == HALF
    assert (error <= bound * reference.spread(*wide, hidden, EPS)).all()
    return actual


@pytest.mark.parametrize("rows", (1, 7, 63, 64, 65, 127, 128, 129, 197))
@pytest.mark.parametrize("biases", (False, True))
def test_numbers_of_tokens(poisoned: None, rows: int, biases: bool) -> None:
    assert_block(operands(rows, 24, 72, biases), (52, 72))


@pytest.mark.parametrize("channels", (4, 48, 128, 132, 192, 216, 240, 256))
def test_numbers_of_channels(poisoned: None, channels: int) -> None:
    assert_block(operands(9, channels, 4 * channels), (7 * channels // 8 * 4, 4 * channels))


@pytest.mark.parametrize(
    "hidden", [(4,), (60,), (64,), (68,), (128,), (4, 8, 12, 132), (64, 128, 192), (40, 64, 68)]
)
def test_hidden_widths(poisoned: None, hidden: tuple[int, ...]) -> None:
    """Around the units of a step, and narrower than the weights."""
    assert_block(operands(5, 32, 200), hidden)


def test_widths_do_not_depend_on_their_company() -> None:
    arguments = operands(70, 40, 160)
    together = assert_block(arguments, (64, 96, 160))
    alone = mlp_block(*arguments, eps=EPS, backend="triton")
    assert alone.shape == (70, 40)
    torch.testing.assert_close(alone, together[2], rtol=1e-3, atol=1e-2)
    assert torch.equal(
        mlp_block(*arguments, hidden=(64,), eps=EPS, backend="triton")[0], together[0]
    )


def test_strides(poisoned: None) -> None:
    x, w1, b1, w2, b2 = operands(150, 48, 96)
    wide = torch.full((160, 100), torch.nan).to(HALF)
    wide[:150, 8:56] = x
    loose = torch.full((100, 120), torch.nan).to(HALF)
    loose[:96, 3:51] = w1
    padded = torch.full((56, 108), torch.nan).to(HALF)
    padded[4:52, 4:100] = w2
    for views in (
        (wide[:150, 8:56], loose[:96, 3:51], b1, padded[4:52, 4:100], b2),
        (x.t().contiguous().t(), w1.t().contiguous().t(), b1, w2.t().contiguous().t(), b2),
        (x[:1].expand(150, 48), w1, b1[:1].expand(96), w2, b2),
        (x[::2], w1[::2], b1[::2], w2[:, ::2], b2),
    ):
        assert_block(views, (44, views[1].shape[0]))


def test_a_result_in_place_of_a_new_one() -> None:
    arguments = operands(2 * 65, 48, 96)
    x = arguments[0].view(2, 65, 48)
    buffer = torch.full((4, 2, 65, 48), 123.0).to(HALF)
    out = buffer[1:3]
    assert mlp_block(x, *arguments[1:], hidden=(64, 96), eps=EPS, out=out, backend="triton") is out
    assert torch.equal(out.flatten(1, 2), assert_block(arguments, (64, 96)))
    assert (buffer[0] == 123).all() and (buffer[3] == 123).all()


def test_no_tokens() -> None:
    arguments = operands(0, 48, 96)
    assert mlp_block(*arguments, hidden=(8, 96), backend="triton").shape == (2, 0, 48)


def test_nans_stay_in_their_token() -> None:
    x, w1, b1, w2, b2 = operands(70, 48, 96)
    clean = mlp_block(x, w1, b1, w2, b2, backend="triton")
    rows = torch.zeros(70, dtype=torch.bool)
    for row, value in ((0, torch.nan), (66, torch.inf)):
        x[row, 5], rows[row] = value, True
    actual = mlp_block(x, w1, b1, w2, b2, backend="triton")
    assert actual[rows].isnan().all() and torch.equal(actual[~rows], clean[~rows])


def test_wider_weights_do_not_reach_narrower_results() -> None:
    x, w1, b1, w2, b2 = operands(70, 48, 96)
    clean = mlp_block(x, w1, b1, w2, b2, hidden=(40,), backend="triton")
    w1[40:], b1[40:], w2[:, 40:] = torch.nan, torch.nan, torch.nan
    actual = mlp_block(x, w1, b1, w2, b2, hidden=(40, 96), backend="triton")
    assert torch.equal(actual[:1], clean) and actual[1].isnan().all()


def test_a_large_mean_is_subtracted_first(poisoned: None) -> None:
    x, *weights = operands(20, 64, 64)
    assert_block((100 + x, *weights), (64,))


@triton.jit
def _gelu_kernel(x, out, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + at, module._gelu(tl.load(x + at)))


def test_gelu() -> None:
    """To fp32, which the rounding of the hidden layer would hide."""
    x = torch.cat([torch.linspace(-8, 8, 2**16), torch.logspace(-30, 30, 2**15)])
    x = torch.cat([x, -x[-(2**15) :]])
    out = torch.empty_like(x)
    _gelu_kernel[(len(x) // 2**15,)](x, out, BLOCK=2**15)
    exact = x.double() * torch.special.ndtr(x.double())
    assert ((out - exact).abs() <= gelu_tolerance(x.dtype) * x.double().abs()).all()


def test_what_is_declined() -> None:
    def reasons(x: Tensor, hidden: tuple[int, ...]) -> tuple[str, ...]:
        return backend.reasons(backend.Arguments(x, x, None, x, None, hidden, EPS, x))

    x = torch.ones(2, 256, dtype=HALF)
    assert reasons(x, (4, 8, 12, 16)) == ()
    assert reasons(x.float(), (4,)) == ("x is float32 (allowed: float16, bfloat16)",)
    assert reasons(torch.ones(2, 260, dtype=HALF), (4,)) == (
        "x has 260 channels (allowed: up to 256)",
    )
    (reason,) = reasons(x, (6,))
    assert reason == "256 channels and hidden=(6,) are not all multiples of 4"
    assert reasons(x, (4, 8, 12, 16, 20)) == ("hidden has 5 widths (allowed: up to 4)",)
    with pytest.raises(BackendError, match="x is float64"):
        wide = torch.ones(4, 4).double()
        mlp_block(wide, wide, None, wide, None, backend="triton")
