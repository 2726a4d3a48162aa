"""Attention and its tangent from the interpreted kernel against fp64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tvtfast.kernels import attention_jvp
from tvtfast.kernels.attention_jvp import reference
from tvtfast.kernels.attention_jvp import triton as backend
from tvtfast.kernels.attention_jvp.definition import Arguments
from tvtfast.kernels.attention_jvp.definition import tolerance as attention_jvp_tolerance

DTYPES = (torch.float32, torch.float16)
"""The interpreter truncates what is stored in bf16."""


def operands(*shape: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """q, k, v and their tangents ``[B, H, N, D]``, parts of two fused projections."""
    images, heads, tokens, channels = shape
    both = torch.randn(2, images, tokens, 3, heads, channels).to(dtype)
    return list(both.permute(0, 3, 1, 4, 2, 5).flatten(0, 1).unbind(0))


def assert_dual(dual: list[Tensor], scale: float) -> None:
    q, k, v, dq, dk, dv = wide = [x.double() for x in dual]
    exact = reference.run(Arguments(*wide, scale))
    actual = attention_jvp(*dual, scale, backend="triton")
    extent = abs(scale) * float((q.abs() @ k.abs().mT).max())
    change = abs(scale) * float((dq.abs() @ k.abs().mT + q.abs() @ dk.abs().mT).max())
    bound = attention_jvp_tolerance(dual[0].dtype, max(q.shape[2:]), extent)
    units = v.abs().max(), dv.abs().max() + 2 * change * v.abs().max()
    for value, expected, unit in zip(actual, exact, units, strict=True):
        assert value.dtype == dual[0].dtype and value.stride() == expected.stride()
        assert (value - expected).abs().max() <= bound * unit


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("tokens", (1, 7, 16, 17, 33, 64, 65, 130))
def test_numbers_of_tokens(poisoned: None, dtype: torch.dtype, tokens: int) -> None:
    assert_dual(operands(2, 2, tokens, 20, dtype=dtype), 20**-0.5)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", (1, 8, 16, 17, 64, 80, 128))
def test_numbers_of_channels(poisoned: None, dtype: torch.dtype, channels: int) -> None:
    assert_dual(operands(1, 3, 33, channels, dtype=dtype), channels**-0.5)


@pytest.mark.parametrize("scale", (0.0, -0.3, 3.0))
def test_scales(poisoned: None, scale: float) -> None:
    """The largest score of a row moves from block to block."""
    assert_dual(operands(1, 1, 140, 4), scale)


def test_strides(poisoned: None) -> None:
    dense = operands(2, 2, 20, 8)
    for views in (
        [x.contiguous() for x in dense],
        [*dense[:3], *(x.contiguous() for x in dense[3:])],
        [dense[0].mT.contiguous().mT, *dense[1:]],
        [x[:1].expand(2, -1, -1, -1) for x in dense],
        [x[..., 1:] for x in dense],
    ):
        assert_dual(views, 0.4)


@pytest.mark.parametrize("shape", [(0, 2, 5, 4), (2, 0, 5, 4), (2, 3, 0, 4)])
def test_nothing_to_do(shape: tuple[int, ...]) -> None:
    out, tangent = attention_jvp(*[torch.ones(shape)] * 6, backend="triton")
    assert out.shape == tangent.shape == shape


def test_nans(poisoned: None) -> None:
    dual = operands(2, 2, 40, 8)
    dual[1][0, 1, 33, 2] = torch.nan
    dual[0][1, 0, 5, 0] = torch.nan
    dual[3][1, 1, 6, 0] = torch.nan
    rows = torch.zeros(2, 2, 40, dtype=torch.bool)
    rows[0, 1], rows[1, 0, 5] = True, True
    out, tangent = attention_jvp(*dual, backend="triton")
    assert torch.equal(out.isnan(), rows[..., None].expand_as(out))
    rows[1, 1, 6] = True
    assert torch.equal(tangent.isnan(), rows[..., None].expand_as(out))


def test_what_is_declined() -> None:
    wide = [torch.ones(1, 1, 2, 129)] * 6
    assert backend.reasons(backend.Arguments(*wide, 1.0)) == (
        "a head has 129 channels (allowed: up to 128)",
    )
