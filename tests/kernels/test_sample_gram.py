"""sample_gram against per-sample weight gradients formed in fp64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from tvtfast.kernels import sample_gram
from tvtfast.kernels.dtypes import SUPPORTED_DTYPES, roundoff


def formed(inputs: Tensor, grad_outputs: Tensor) -> Tensor:
    gradients = torch.einsum("bti,bto->bio", inputs.double(), grad_outputs.double()).flatten(1)
    return gradients @ gradients.T


def assert_products(inputs: Tensor, grad_outputs: Tensor) -> None:
    """Three products of sums, each a random walk of roundings."""
    actual = sample_gram(inputs, grad_outputs)
    wide = torch.float64 if inputs.dtype == torch.float64 else torch.float32
    lengths = (inputs.double().norm(dim=(1, 2)) * grad_outputs.double().norm(dim=(1, 2)))[:, None]
    terms = max(inputs.shape[1:] + grad_outputs.shape[2:])
    bound = roundoff(wide) * (16 + 12 * terms**0.5)
    assert actual.dtype == wide
    assert ((actual - formed(inputs, grad_outputs)).abs() <= bound * lengths * lengths.T).all()


@settings(max_examples=40, deadline=None)
@given(
    samples=st.integers(1, 6),
    tokens=st.integers(1, 20),
    width=st.integers(1, 40),
    outputs=st.integers(1, 40),
    dtype=st.sampled_from(SUPPORTED_DTYPES),
)
def test_products(samples: int, tokens: int, width: int, outputs: int, dtype: torch.dtype) -> None:
    """One token takes the products of tokens, many the gradients."""
    inputs = torch.randn(samples, tokens, width).to(dtype)
    assert_products(inputs, torch.randn(samples, tokens, outputs).to(dtype))


def test_layers_of_a_transformer() -> None:
    for tokens, width, outputs in ((197, 48, 144), (1, 300, 10), (9, 200, 700)):
        assert_products(torch.randn(4, tokens, width), torch.randn(4, tokens, outputs))


def test_gradients_are_formed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, grad_outputs = torch.randn(3, 50, 7), torch.randn(3, 50, 11)
    whole = sample_gram(inputs, grad_outputs)
    monkeypatch.setitem(sample_gram.__globals__, "GRADIENT_ELEMENTS", 3 * 7 * 4)
    torch.testing.assert_close(sample_gram(inputs, grad_outputs), whole)


@pytest.mark.parametrize("tokens", (1, 50))
def test_several_layers(tokens: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has the products that it has alone, whichever side is computed, in parts too."""
    inputs, grad_outputs = torch.randn(2, 3, 4, tokens, 7), torch.randn(2, 3, 4, tokens, 11)
    for _ in range(2):
        found = sample_gram(inputs, grad_outputs)
        assert found.shape == (2, 3, 4, 4)
        for place in ((0, 0), (1, 2)):
            alone = sample_gram(inputs[place], grad_outputs[place])
            scale = alone.diagonal().max().item()
            torch.testing.assert_close(found[place], alone, rtol=0, atol=1e-5 * scale)
        monkeypatch.setitem(sample_gram.__globals__, "GRADIENT_ELEMENTS", 6 * 4 * 7 * 4)


@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 0, 4), (2, 3, 0)])
def test_nothing_to_sum(shape: tuple[int, ...]) -> None:
    products = sample_gram(torch.ones(shape), torch.ones(*shape[:2], 5))
    assert torch.equal(products, torch.zeros(shape[0], shape[0]))


@pytest.mark.parametrize("tokens", (1, 9))
def test_gradcheck(tokens: int) -> None:
    inputs, grad_outputs = (
        torch.randn(2, tokens, n, dtype=torch.float64, requires_grad=True) for n in (2, 3)
    )
    assert gradcheck(sample_gram, (inputs, grad_outputs))


@pytest.mark.parametrize(
    ("grad_outputs", "error", "message"),
    [
        (torch.ones(2, 3, 5).half(), TypeError, "grad_outputs torch.float16; convert"),
        (torch.ones(2, 4, 5), ValueError, r"pass \[\*, B, T, I\] and \[\*, B, T, O\]"),
        (torch.ones(1, 2, 3, 5), ValueError, r"pass \[\*, B, T, I\] and \[\*, B, T, O\]"),
        (torch.ones(6, 5), ValueError, r"pass \[\*, B, T, I\] and \[\*, B, T, O\]"),
        (torch.ones(2, 3, 5, device="meta"), ValueError, "on meta, inputs on cpu; move one"),
        (torch.ones(2, 3, 5).long(), TypeError, "grad_outputs has dtype int64"),
    ],
)
def test_wrong_arguments(grad_outputs: Tensor, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        sample_gram(torch.ones(2, 3, 4), grad_outputs)
