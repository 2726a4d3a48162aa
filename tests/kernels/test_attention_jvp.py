"""attention_jvp against torch.func.jvp of the formula in fp64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from tvtfast import kernels
from tvtfast.kernels import attention_jvp
from tvtfast.kernels.dispatch import OPERATORS

DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
SERIES_LIMIT = 6.9e-4
"""Largest score of which the native backend takes the series, see ``csrc/attention_jvp.cpp``."""


def operands(*shape: int, dtype: torch.dtype = torch.float32, std: float = 1.0) -> list[Tensor]:
    """q, k, v and their tangents ``[B, H, N, D]``, parts of two fused projections."""
    images, heads, tokens, channels = shape
    both = (std * torch.randn(2, images, tokens, 3, heads, channels)).to(dtype)
    return list(both.permute(0, 3, 1, 4, 2, 5).flatten(0, 1).unbind(0))


def formula(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    return (q @ k.mT * scale).softmax(dim=-1) @ v


def assert_dual(dual: list[Tensor], scale: float | None = None, backend: str = "auto") -> None:
    actual = attention_jvp(*dual, scale, backend=backend)
    q, k, v, dq, dk, dv = wide = [x.double() for x in dual]
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    exact = torch.func.jvp(
        lambda q, k, v: formula(q, k, v, scale), tuple(wide[:3]), tuple(wide[3:])
    )
    extent = abs(scale) * float((q.abs() @ k.abs().mT).max())
    change = abs(scale) * float((dq.abs() @ k.abs().mT + q.abs() @ dk.abs().mT).max())
    bound = OPERATORS["attention_jvp"].tolerance(dual[0].dtype, max(q.shape[2:]), extent)
    units = v.abs().max(), dv.abs().max() + 2 * change * v.abs().max()
    for value, expected, unit in zip(actual, exact, units, strict=True):
        assert value.shape == expected.shape and value.dtype == dual[0].dtype
        assert value.transpose(1, 2).is_contiguous()
        assert (value - expected).abs().max() <= bound * unit


@pytest.mark.parametrize("tokens", (1, 3, 4, 5, 15, 16, 17, 49, 197))
def test_numbers_of_tokens(backend: str, tokens: int) -> None:
    for dtype in DTYPES[:3]:
        assert_dual(operands(2, 3, tokens, 16, dtype=dtype), backend=backend)


@pytest.mark.parametrize("channels", (1, 2, 7, 8, 15, 16, 48, 80))
@pytest.mark.parametrize("std", (1.0, 0.01))
def test_numbers_of_channels(backend: str, channels: int, std: float) -> None:
    for tokens in (19, 150):
        assert_dual(operands(2, 2, tokens, channels, std=std), backend=backend)


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes_of_small_scores(dtype: torch.dtype) -> None:
    assert_dual(operands(2, 2, 130, 5, dtype=dtype, std=0.01))


@settings(max_examples=25, deadline=None)
@given(
    tokens=st.integers(1, 90),
    channels=st.integers(1, 9),
    scale=st.floats(-2, 2),
    std=st.sampled_from((1e-3, 0.03, 1.0, 4.0)),
)
def test_any_shape_and_scale(tokens: int, channels: int, scale: float, std: float) -> None:
    assert_dual(operands(1, 2, tokens, channels, std=std), scale)


@pytest.mark.parametrize("factor", (0.5, 0.99, 1.01, 2.0))
def test_both_sides_of_the_series_agree(native: str, factor: float) -> None:
    """Scores just below the limit, where the series is off the most, and just above."""
    dual = operands(1, 2, 160, 4)
    for x in dual[:2]:
        x /= x.norm(dim=-1, keepdim=True)
    assert_dual(dual, factor * SERIES_LIMIT, native)


def test_a_tangent_survives_what_all_values_share(native: str) -> None:
    """Tangents far below the values, as those of images beside biases, keep their digits."""
    dual = operands(1, 2, 784, 8, std=0.02)
    dual[2] = dual[2] + 1
    dual[3:] = [1e-3 * x for x in dual[3:]]
    assert_dual(dual, backend=native)


@pytest.mark.parametrize("std", (1.0, 0.01))
def test_the_bits_do_not_depend_on_threads(native: str, threads: None, std: float) -> None:
    dual = operands(4, 3, 200, 8, std=std)
    results = []
    for count in (1, 3):
        torch.set_num_threads(count)
        results.append(attention_jvp(*dual, backend=native))
    assert all(map(torch.equal, *results))


def test_strides(backend: str) -> None:
    dense = operands(2, 2, 20, 8)
    for views in (
        [x.contiguous() for x in dense],
        [*dense[:3], *(x.contiguous() for x in dense[3:])],
        [dense[0].mT.contiguous().mT, *dense[1:]],
        [x[:1].expand(2, -1, -1, -1) for x in dense],
        [x[..., 1::2] for x in dense],
    ):
        assert_dual(views, backend=backend)


@pytest.mark.parametrize("shape", [(0, 2, 5, 4), (2, 0, 5, 4), (2, 3, 0, 4)])
def test_nothing_to_do(backend: str, shape: tuple[int, ...]) -> None:
    out, tangent = attention_jvp(*[torch.ones(shape)] * 6, backend=backend)
    assert out.shape == tangent.shape == shape


@pytest.mark.parametrize("std", (1.0, 1e-3))
def test_nans_stay_in_their_head(backend: str, std: float) -> None:
    dual = operands(2, 2, 40, 3, std=std)
    dual[1][0, 1, 33, 2] = torch.nan
    dual[0][1, 0, 5, 0] = torch.nan
    out, tangent = attention_jvp(*dual, backend=backend)
    rows = torch.zeros(2, 2, 40, dtype=torch.bool)
    rows[0, 1], rows[1, 0, 5] = True, True
    for value in (out, tangent):
        assert torch.equal(value.isnan(), rows[..., None].expand_as(out))


def test_autocast_leaves_it_alone() -> None:
    dual = operands(1, 2, 9, 4)
    for backend in ("auto", "reference"):
        plain = attention_jvp(*dual, backend=backend)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert all(map(torch.equal, attention_jvp(*dual, backend=backend), plain))


class Largest(TorchDispatchMode):
    """Size of the largest tensor made."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(tensor, Tensor):
                self.numel = max(self.numel, tensor.numel())
        return result


def test_the_reference_holds_the_weights_of_few_images() -> None:
    dual = operands(6, 2, 300, 2)
    with Largest() as made:
        attention_jvp(*dual, backend="reference")
    assert made.numel <= 2**19


def test_gradients_and_transforms() -> None:
    dual = [x.double().requires_grad_() for x in operands(1, 2, 4, 3)]
    assert torch.autograd.gradcheck(attention_jvp, dual)

    def loss(function):  # type: ignore[no-untyped-def]
        return lambda q: function(q)[1].square().sum()

    q, k, v, dq, dk, dv = (x.detach() for x in dual)

    def ours(q: Tensor) -> tuple[Tensor, Tensor]:
        return attention_jvp(q, k, v, dq, dk, dv)

    def plain(q: Tensor) -> tuple[Tensor, Tensor]:
        out, tangent = torch.func.jvp(
            lambda q, k, v: formula(q, k, v, 3**-0.5), (q, k, v), (dq, dk, dv)
        )
        return out, tangent

    for transform in (torch.func.grad, torch.func.hessian):
        torch.testing.assert_close(transform(loss(ours))(q), transform(loss(plain))(q))
    batch = torch.stack([q, 2 * q])
    torch.testing.assert_close(torch.vmap(ours)(batch)[1][1], ours(2 * q)[1])
    with pytest.raises(kernels.BackendError, match="torch.func"):
        torch.vmap(lambda q: attention_jvp(q, k, v, dq, dk, dv, backend="native"))(batch)


def test_opcheck(backend: str) -> None:
    for dual in (operands(2, 3, 5, 4), operands(1, 1, 3, 2, dtype=torch.bfloat16)):
        torch.library.opcheck(torch.ops.tvtfast.attention_jvp, (*dual, 0.5), {"backend": backend})


def test_compile() -> None:
    def both(*dual: Tensor) -> Tensor:
        out, tangent = attention_jvp(*dual)
        return (out + tangent).transpose(1, 2).flatten(2)

    compiled = torch.compile(both, fullgraph=True, backend="aot_eager")
    dual = operands(2, 2, 7, 4)
    torch.testing.assert_close(compiled(*dual), both(*dual))


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({1: torch.ones(1, 1, 2, 4)}, ValueError, r"k \(1, 1, 2, 4\); both are \[B, H, N, D\]"),
        ({4: torch.ones(1, 1, 2, 3).half()}, TypeError, "dk is torch.float16; convert"),
        ({3: torch.ones(1, 1, 2, 3, device="meta")}, ValueError, "dq on meta; move one"),
        ({0: torch.ones(1, 1, 2, 3).long()}, TypeError, "q has dtype int64"),
        (dict.fromkeys(range(6), torch.ones(2, 3)), ValueError, r"q has shape \(2, 3\)"),
        (dict.fromkeys(range(6), torch.ones(1, 1, 2, 0)), ValueError, "at least one channel"),
    ],
)
def test_wrong_arguments(changed: dict[int, Tensor], error: type[Exception], message: str) -> None:
    dual = [changed.get(i, torch.ones(1, 1, 2, 3)) for i in range(6)]
    with pytest.raises(error, match=message):
        attention_jvp(*dual)
