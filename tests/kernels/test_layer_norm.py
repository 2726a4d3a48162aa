"""layer_norm against its formula in fp64."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tvtfast.kernels import BackendError, layer_norm
from tvtfast.kernels.backend.native import (
    DTYPE_CODES,
    INSTRUCTION_SETS,
    instruction_sets,
    missing,
)
from tvtfast.kernels.dispatch import OPERATORS
from tvtfast.kernels.layer_norm import native as native_layer_norm

DTYPES = tuple(DTYPE_CODES)
WIDTHS = (1, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 127, 192, 240)
GUARD = 64
EPS = 1e-6


def norm_formula(x: Tensor, eps: float) -> Tensor:
    centred = x.double() - x.double().mean(dim=-1, keepdim=True)
    return centred * (centred.square().mean(dim=-1, keepdim=True) + eps).rsqrt()


def assert_norm(actual: Tensor, x: Tensor, eps: float = EPS) -> None:
    assert actual.dtype == x.dtype and actual.shape == x.shape and actual.is_contiguous()
    exact = norm_formula(x, eps)
    spread = (x.double().var(dim=-1, correction=0, keepdim=True) + eps).sqrt()
    extent = (x.double().abs() / spread).max().item() if x.numel() else 0.0
    tolerance = OPERATORS["layer_norm"].tolerance(x.dtype, x.shape[-1], extent)
    bound = tolerance * (1 + exact.abs())
    error = (actual.double() - exact).abs()
    assert (error <= bound).all(), (error / bound).max()


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_kernel(instruction_set: str, dtype: torch.dtype) -> None:
    for width in WIDTHS:
        x = (2 * torch.randn(5, width) + torch.arange(-2, 3)[:, None]).to(dtype)
        assert_norm(
            native_layer_norm.run(
                native_layer_norm.Arguments(x, EPS), instruction_set=instruction_set
            ),
            x,
        )


@pytest.mark.parametrize("dtype", (*DTYPES, torch.float64))
def test_backends(backend: str, dtype: torch.dtype) -> None:
    if backend == "native" and dtype == torch.float64:
        pytest.skip("native declines fp64")
    x = torch.randn(3, 5, 24, dtype=torch.float64).to(dtype)
    for eps in (1e-6, 1e-5, 0.5):
        assert_norm(layer_norm(x, eps=eps, backend=backend), x, eps)


@pytest.mark.parametrize("dtype", DTYPES)
def test_strides(backend: str, dtype: torch.dtype) -> None:
    base = torch.randn(6, 8, 40).to(dtype)
    views = (
        base[:, :, 3:20],
        base[::2, 1:5, :17],
        base[:, 0, ::2],
        base.transpose(0, 1)[:, :, :9],
        base.transpose(1, 2),
        base[:1].expand(4, 8, 40),
        base[0, 0],
    )
    for x in views:
        assert_norm(layer_norm(x, eps=EPS, backend=backend), x)


def test_empty(backend: str) -> None:
    for shape in ((0, 4), (2, 0, 4)):
        assert layer_norm(torch.empty(shape), backend=backend).shape == shape


@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_and_infinity_stay_in_their_token(instruction_set: str, dtype: torch.dtype) -> None:
    clean = torch.randn(4, 37).to(dtype)
    for value in (torch.nan, torch.inf, -torch.inf):
        for column in (0, 20, 36):
            x = clean.clone()
            x[2, column] = value
            result = native_layer_norm.run(
                native_layer_norm.Arguments(x, EPS), instruction_set=instruction_set
            )
            assert result[2].isnan().all()
            assert_norm(result[[0, 1, 3]], clean[[0, 1, 3]])


def test_threads_do_not_change_bits(native: str, threads: None) -> None:
    for dtype in DTYPES:
        x = torch.randn(1031, 193).to(dtype)
        results = []
        for count in (1, 2, 3, 7):
            torch.set_num_threads(count)
            results.append(layer_norm(x, backend=native))
        assert all(torch.equal(normed, results[0]) for normed in results)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_properties(data: st.DataObject) -> None:
    """A token is normalised alike in any company."""
    if missing():
        pytest.skip(missing()[0])
    tokens, width = data.draw(st.integers(1, 20)), data.draw(st.integers(1, 150))
    dtype, name = data.draw(st.sampled_from(DTYPES)), data.draw(st.sampled_from(instruction_sets()))
    torch.manual_seed(data.draw(st.integers(0, 99)))
    x = (4 * torch.randn(tokens, width)).to(dtype)
    together = native_layer_norm.run(native_layer_norm.Arguments(x, EPS), instruction_set=name)
    alone = native_layer_norm.run(native_layer_norm.Arguments(x[-1:], EPS), instruction_set=name)
    assert torch.equal(alone, together[-1:])


def test_a_large_mean_is_subtracted_first(backend: str) -> None:
    """The variance is not a difference of large squares."""
    x = 1000 + torch.randn(6, 192)
    assert_norm(layer_norm(x, eps=EPS, backend=backend), x)
    constant = torch.full((2, 40), 0.1)
    assert layer_norm(constant, eps=EPS, backend=backend).abs().max() <= 1e-4


def test_native_writes_its_output_and_nothing_else(instruction_set: str) -> None:
    from tvtfast import _C

    code = INSTRUCTION_SETS.index(instruction_set)
    for dtype in DTYPES:
        for width in (1, 7, 19, 64):
            x = torch.randn(5, width).to(dtype)
            buffer = torch.full((2 * GUARD + 5 * width,), torch.nan, dtype=dtype)
            buffer[:GUARD] = buffer[-GUARD:] = 123
            at = buffer.data_ptr() + GUARD * buffer.itemsize
            place = buffer[GUARD:-GUARD]
            kind = DTYPE_CODES[dtype]
            _C.layer_norm(x.data_ptr(), kind, x.shape, width, EPS, at, code, 2)
            assert_norm(place.view(5, width), x)
            assert (buffer[:GUARD] == 123).all() and (buffer[-GUARD:] == 123).all()


def test_native_reads_its_input_and_nothing_else(instruction_set: str) -> None:
    """What lies beside the rows is NaN, and would poison every sum it entered."""
    for dtype in DTYPES:
        padded = torch.full((4, 60), torch.nan, dtype=dtype)
        padded[:, 20:39] = torch.randn(4, 19).to(dtype)
        x = padded[:, 20:39]
        assert_norm(
            native_layer_norm.run(
                native_layer_norm.Arguments(x, EPS), instruction_set=instruction_set
            ),
            x,
        )


def test_gradients_of_layer_norm_are_those_of_the_formula() -> None:
    x = torch.randn(2, 3, 8, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, 3, 8, dtype=torch.float64)
    (actual,) = torch.autograd.grad((layer_norm(x, eps=EPS) * weight).sum(), x)
    (exact,) = torch.autograd.grad((norm_formula(x, EPS) * weight).sum(), x)
    torch.testing.assert_close(actual, exact)
    single = x.detach().float().requires_grad_()
    with pytest.raises(BackendError, match="'native' .*gradients are recorded.*'reference'"):
        layer_norm(single, backend="native")
    with torch.no_grad():
        assert not layer_norm(single).requires_grad


def test_transforms_of_layer_norm_match_the_formula() -> None:
    x, tangent = torch.randn(2, 3, 8, dtype=torch.float64)
    ours: Callable[[Tensor], Tensor] = lambda x: layer_norm(x, eps=EPS)  # noqa: E731
    actual = torch.func.jvp(ours, (x,), (tangent,))
    torch.testing.assert_close(
        actual, torch.func.jvp(lambda x: norm_formula(x, EPS), (x,), (tangent,))
    )
    torch.testing.assert_close(torch.vmap(ours)(x[:, None]), ours(x)[:, None])


def test_opcheck(backend: str) -> None:
    base = torch.randn(6, 30)
    for x in (base[:, :24], base.bfloat16(), base[:0], base.t()):
        torch.library.opcheck(torch.ops.tvtfast.layer_norm, (x, 1e-5), {"backend": backend})


def test_compile_full_graph() -> None:
    def layer(x: Tensor) -> Tensor:
        return layer_norm(x * 2)

    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager", dynamic=True)
    for shape in ((2, 9, 24), (3, 5, 24)):
        x = torch.randn(shape)
        torch.testing.assert_close(compiled(x), layer(x))


def test_autocast_changes_nothing(backend: str) -> None:
    x = torch.randn(4, 24)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert_norm(layer_norm(x, eps=EPS, backend=backend), x)


def test_wrong_arguments() -> None:
    with pytest.raises(TypeError, match="x has dtype int64"):
        layer_norm(torch.ones(2, 3, dtype=torch.int64))
    with pytest.raises(BackendError, match="x is float64.*allowed: float32"):
        layer_norm(torch.ones(2, 3, dtype=torch.float64), backend="native")
    for shape in ((), (2, 0)):
        with pytest.raises(ValueError, match="one channel or more"):
            layer_norm(torch.ones(shape))


def test_cpus_without_a_kernel_are_declined(native: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tvtfast.kernels.backend.native.instruction_sets", lambda: ())
    x = torch.randn(2, 9)
    assert_norm(layer_norm(x, eps=EPS), x)
    with pytest.raises(BackendError, match="no kernel here.*AVX2"):
        layer_norm(x, backend="native")
