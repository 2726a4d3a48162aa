"""linear against its formula in fp64."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tvtfast.kernels import BackendError, linear
from tvtfast.kernels.backend.native import (
    DTYPE_CODES,
    WORTH_PACKING,
    instruction_sets,
    missing,
)
from tvtfast.kernels.dispatch import OPERATORS
from tvtfast.kernels.layer_norm.definition import tolerance as layer_norm_tolerance
from tvtfast.kernels.linear import native as native_linear

DTYPES = tuple(DTYPE_CODES)
EPS = 1e-6
GUARD = 64


def operands(rows: int, inputs: int, outputs: int, dtype: torch.dtype) -> tuple[Tensor, ...]:
    """x, weight, bias and residual."""
    shapes = ((rows, inputs), (outputs, inputs), (outputs,), (rows, outputs))
    x, weight, bias, residual = (torch.randn(shape).to(dtype) for shape in shapes)
    return x, weight, bias, residual


def normed(x: Tensor, eps: float | None) -> Tensor:
    return x if eps is None else F.layer_norm(x, x.shape[-1:], eps=eps)


def formula(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    residual: Tensor | None = None,
    norm_eps: float | None = None,
    gelu: bool = False,
) -> Tensor:
    result = normed(x, norm_eps) @ weight.t()
    if bias is not None:
        result = result + bias
    if gelu:
        result = result * torch.special.erfc(-result * 0.5**0.5) / 2
    return result if residual is None else residual + result


def assert_linear(
    actual: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    residual: Tensor | None = None,
    norm_eps: float | None = None,
    gelu: bool = False,
) -> None:
    assert actual.dtype == x.dtype
    wide = [None if t is None else t.double() for t in (bias, residual)]
    exact = formula(x.double(), weight.double(), *wide, norm_eps, gelu)
    assert actual.shape == exact.shape
    factors = normed(x.double(), norm_eps).abs()
    extent = factors @ weight.double().abs().t() + sum(t.abs() for t in wide if t is not None)
    bound = OPERATORS["linear"].tolerance(x.dtype, x.shape[-1], 1.0) * (extent + exact.abs())
    if norm_eps is not None:
        spread = (x.double().var(dim=-1, correction=0, keepdim=True) + norm_eps).sqrt()
        height = (x.double().abs() / spread).max().item() if x.numel() else 0.0
        own = layer_norm_tolerance(torch.float32, x.shape[-1], height)
        bound = bound + own * ((1 + factors) @ weight.double().abs().t())
    error = (actual.double() - exact).abs()
    assert (error <= bound + torch.finfo(x.dtype).tiny).all(), (error / bound).max()


def run(name: str, x: Tensor, weight: Tensor, *rest: object) -> Tensor:
    out = torch.full((len(x), len(weight)), torch.nan, dtype=x.dtype)
    bias, residual, norm_eps, gelu = (*rest, *(None, None, None, False)[len(rest) :])
    native_linear.run(
        native_linear.Arguments(out, x, weight, bias, residual, norm_eps, gelu),
        instruction_set=name,
    )
    return out


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_kernel(instruction_set: str, dtype: torch.dtype) -> None:
    """Rows around a block, inputs around a step, outputs around vectors and panels."""
    for rows in (1, 3, 4, 5, 7, 8, 9, 17):
        for inputs in (1, 2, 15, 33):
            for outputs in (1, 7, 9, 16, 24, 25, 40, 48, 49, 97):
                x, weight, bias, residual = operands(rows, inputs, outputs, dtype)
                assert_linear(run(instruction_set, x, weight), x, weight)
                every = x, weight, bias, residual, EPS, True
                assert_linear(run(instruction_set, *every), *every)


@pytest.mark.parametrize("dtype", DTYPES)
def test_more_rows_than_a_tile(instruction_set: str, dtype: torch.dtype) -> None:
    for shape in ((1201, 192, 50), (70, 3000, 100)):
        x, weight, bias, residual = operands(*shape, dtype)
        for rest in ((bias, residual, None, False), (bias, None, EPS, True)):
            assert_linear(run(instruction_set, x, weight, *rest), x, weight, *rest)


@pytest.mark.parametrize("dtype", (*DTYPES, torch.float64))
def test_backends(backend: str, dtype: torch.dtype) -> None:
    if backend == "native" and dtype == torch.float64:
        pytest.skip("native declines fp64")
    x, weight, bias, residual = operands(12, 40, 56, dtype)
    for added in (None, bias):
        for rest in (None, residual):
            for eps in (None, EPS, 0.5):
                for gelu in (False, True):
                    given = (added, rest, eps, gelu)
                    actual = linear(
                        x, weight, added, residual=rest, norm_eps=eps, gelu=gelu, backend=backend
                    )
                    assert_linear(actual, x, weight, *given)


@pytest.mark.parametrize("dtype", DTYPES)
def test_gelu_of_every_kind_of_number(instruction_set: str, dtype: torch.dtype) -> None:
    """Densely where it bends, and every exponent, through a weight of one."""
    if dtype == torch.float32:
        x = torch.cat([torch.linspace(-8, 8, 400_001), torch.logspace(-37, 37, 20_001)])
        x = torch.cat([x, -x])
    else:
        x = torch.arange(2**16).to(torch.int16).view(dtype)
        x = x[x.isfinite()]
    one = torch.ones(1, 1, dtype=dtype)
    actual = run(instruction_set, x[:, None], one, None, None, None, True)
    assert_linear(actual, x[:, None], one, None, None, None, True)
    if dtype == torch.float32:
        negative = x[:, None] <= 0
        exact = formula(x[:, None].double(), one.double(), gelu=True)
        assert (actual.double() - exact)[negative].abs().max() <= 1.2e-7


@pytest.mark.parametrize("dtype", DTYPES)
def test_strides_and_leading_dimensions(backend: str, dtype: torch.dtype) -> None:
    base = torch.randn(6, 8, 40).to(dtype)
    large = torch.randn(60, 50).to(dtype)
    for x in (
        base[:, :, 3:20],
        base[::2, 1:5, :17],
        base[:, 0, ::2],
        base.transpose(1, 2),
        base[:1].expand(4, 8, 40),
        base[0, 0],
    ):
        inputs = x.shape[-1]
        for weight in (large[:29, :inputs], large[::2, -inputs:], large.t()[:31, :inputs]):
            residual = torch.randn(len(weight), *x.shape[:-1]).to(dtype).movedim(0, -1)
            actual = linear(x, weight, residual=residual, backend=backend)
            assert actual.shape == residual.shape
            flat = residual.reshape(-1, len(weight))
            rows = x.reshape(-1, inputs)
            assert_linear(actual.reshape(flat.shape), rows, weight, None, flat)


@pytest.mark.parametrize("inputs", [256, 1024, 2048])
def test_rows_that_would_evict_each_other(instruction_set: str, inputs: int) -> None:
    for dtype in DTYPES:
        x, weight, *_ = operands(33, inputs, 30, dtype)
        assert_linear(run(instruction_set, x, weight), x, weight)


def test_out(backend: str) -> None:
    x, weight, bias, residual = operands(6, 40, 24, torch.float32)
    for gelu in (False, True):
        expected = linear(x, weight, bias, residual=residual, gelu=gelu, backend=backend)
        wide = torch.full((6, 30), torch.nan)
        out = wide[:, 3:27]
        assert (
            linear(x, weight, bias, gelu=gelu, residual=residual, out=out, backend=backend) is out
        )
        assert (
            torch.equal(out, expected) and wide[:, :3].isnan().all() and wide[:, 27:].isnan().all()
        )
        same = residual.clone()
        linear(x, weight, bias, gelu=gelu, residual=same, out=same, backend=backend)
        assert torch.equal(same, expected)


def test_empty(backend: str) -> None:
    weight = torch.randn(5, 4)
    for shape in ((0, 4), (2, 0, 4)):
        assert linear(torch.empty(shape), weight, backend=backend).shape == (*shape[:-1], 5)


@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_and_infinity_stay_in_their_token(instruction_set: str, dtype: torch.dtype) -> None:
    clean, weight, bias, residual = operands(9, 37, 50, dtype)
    for value in (torch.nan, torch.inf):
        x = clean.clone()
        x[2, 20] = value
        for rest in ((bias, residual, None, False), (bias, residual, EPS, True)):
            result = run(instruction_set, x, weight, *rest)
            assert not result[2].isfinite().any() or rest[3]
            others = [row for row in range(9) if row != 2]
            expected = run(instruction_set, clean, weight, *rest)
            assert torch.equal(result[others], expected[others])


def test_threads_do_not_change_bits(native: str, threads: None) -> None:
    for dtype in DTYPES:
        x, weight, bias, residual = operands(1031, 193, 75, dtype)
        results = []
        for count in (1, 2, 3, 7):
            torch.set_num_threads(count)
            given = {"residual": residual, "norm_eps": EPS, "gelu": True}
            results.append(linear(x, weight, bias, **given, backend=native))
        assert all(torch.equal(result, results[0]) for result in results)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_properties(data: st.DataObject) -> None:
    """A token is computed alike in any company, and an output beside any others."""
    if missing():
        pytest.skip(missing()[0])
    rows, inputs, outputs = (data.draw(st.integers(1, n)) for n in (20, 70, 70))
    dtype, name = data.draw(st.sampled_from(DTYPES)), data.draw(st.sampled_from(instruction_sets()))
    torch.manual_seed(data.draw(st.integers(0, 99)))
    x, weight, bias, residual = operands(rows, inputs, outputs, dtype)
    together = run(name, x, weight, bias, residual, EPS, True)
    alone = run(name, x[-1:], weight[-1:], bias[-1:], residual[-1:, -1:], EPS, True)
    assert torch.equal(alone, together[-1:, -1:])


def test_native_writes_its_output_and_nothing_else(instruction_set: str) -> None:
    for dtype in DTYPES:
        for rows, outputs in ((1, 1), (5, 19), (9, 50)):
            x, weight, bias, residual = operands(rows, 21, outputs, dtype)
            buffer = torch.full((2 * GUARD + rows * outputs,), torch.nan, dtype=dtype)
            buffer[:GUARD] = buffer[-GUARD:] = 123
            place = buffer[GUARD:-GUARD].view(rows, outputs)
            every = bias, residual, EPS, True
            native_linear.run(
                native_linear.Arguments(place, x, weight, *every), instruction_set=instruction_set
            )
            assert_linear(place, x, weight, *every)
            assert (buffer[:GUARD] == 123).all() and (buffer[-GUARD:] == 123).all()


def test_native_reads_its_operands_and_nothing_else(instruction_set: str) -> None:
    """What lies beside them is NaN, and would poison every sum it entered."""
    for dtype in DTYPES:
        given = operands(6, 19, 29, dtype)
        poisoned = []
        for tensor in given:
            padded = torch.full([n + 40 for n in tensor.shape], torch.nan, dtype=dtype)
            view = padded[tuple(slice(20, 20 + n) for n in tensor.shape)]
            poisoned.append(view.copy_(tensor))
        for rest in ((None, False), (EPS, True)):
            assert_linear(run(instruction_set, *poisoned, *rest), *given, *rest)


def test_gradients_are_those_of_the_formula() -> None:
    given = [t.double().requires_grad_() for t in operands(5, 8, 6, torch.float32)]
    cotangent = torch.randn(5, 6, dtype=torch.float64)
    x, weight, bias, residual = given
    ours = linear(x, weight, bias, residual=residual, norm_eps=EPS, gelu=True)
    actual = torch.autograd.grad((ours * cotangent).sum(), given)
    exact = torch.autograd.grad((formula(*given, EPS, True) * cotangent).sum(), given)
    torch.testing.assert_close(actual, exact)
    single = x.detach().float().requires_grad_()
    with pytest.raises(BackendError, match="'native' .*gradients are recorded.*'reference'"):
        linear(single, weight.detach().float(), backend="native")
    with pytest.raises(RuntimeError, match="writes to out.*gradients are recorded"):
        linear(single, weight.detach().float(), out=torch.empty(5, 6))
    with torch.no_grad():
        assert not linear(x, weight).requires_grad


def test_transforms_match_the_formula() -> None:
    x, weight, *_ = (t.double() for t in operands(5, 8, 6, torch.float32))
    tangent = torch.randn(5, 8, dtype=torch.float64)
    actual = torch.func.jvp(lambda x: linear(x, weight, norm_eps=EPS, gelu=True), (x,), (tangent,))
    exact = torch.func.jvp(lambda x: formula(x, weight, norm_eps=EPS, gelu=True), (x,), (tangent,))
    torch.testing.assert_close(actual, exact)
    torch.testing.assert_close(torch.vmap(lambda x: linear(x, weight))(x), linear(x, weight))


def test_opcheck(backend: str) -> None:
    for dtype in (torch.float32, torch.bfloat16):
        x, weight, bias, residual = operands(6, 20, 12, dtype)
        for rest in ((None, None, None, False), (bias, residual, EPS, True)):
            out = torch.empty(6, 12, dtype=dtype)
            torch.library.opcheck(
                torch.ops.tvtfast.linear, (out, x, weight, *rest), {"backend": backend}
            )


def test_compile_full_graph() -> None:
    weight = torch.randn(12, 24)

    def layer(x: Tensor) -> Tensor:
        return linear(x * 2, weight, norm_eps=EPS, gelu=True)

    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager", dynamic=True)
    for shape in ((2, 9, 24), (3, 5, 24)):
        x = torch.randn(shape)
        torch.testing.assert_close(compiled(x), layer(x))


def test_autocast_changes_nothing(backend: str) -> None:
    x, weight, bias, residual = operands(4, 24, 8, torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = linear(x, weight, bias, residual=residual, norm_eps=EPS, backend=backend)
    assert_linear(actual, x, weight, bias, residual, EPS)


def test_wrong_arguments() -> None:
    x, weight = torch.randn(4, 6), torch.randn(5, 6)
    with pytest.raises(TypeError, match="x has dtype int64"):
        linear(x.long(), weight)
    for other in (torch.randn(5, 7), torch.randn(6), torch.empty(0, 6)):
        with pytest.raises(ValueError, match=r"\[outputs, inputs\]"):
            linear(x, other)
    with pytest.raises(ValueError, match=r"weight is torch.bfloat16.*pass torch.float32"):
        linear(x, weight.bfloat16())
    with pytest.raises(ValueError, match=r"bias is .*\(4,\).*pass torch.float32 \(5,\)"):
        linear(x, weight, torch.randn(4))
    with pytest.raises(ValueError, match=r"residual is .*\(5, 4\).*\(4, 5\)"):
        linear(x, weight, residual=torch.randn(5, 4))
    with pytest.raises(ValueError, match="out has strides"):
        linear(torch.randn(2, 4, 6), weight, out=torch.empty(4, 2, 5).transpose(0, 1))
    with pytest.raises(BackendError, match="not adjacent"):
        linear(x, weight, out=torch.empty(5, 4).t(), backend="native")
    with pytest.raises(BackendError, match="x is float64.*allowed: float32"):
        linear(x.double(), weight.double(), backend="native")


def test_cpus_that_others_serve_better_are_declined(
    native: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, weight, *_ = operands(4, 6, 5, torch.bfloat16)
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: True)
    with pytest.raises(BackendError, match="AMX"):
        linear(x, weight, backend="native")
    assert_linear(linear(x, weight), x, weight)
    monkeypatch.setattr("tvtfast.kernels.backend.native.instruction_sets", lambda: ())
    with pytest.raises(BackendError, match="no kernel here.*AVX2"):
        linear(x.float(), weight.float(), backend="native")


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_weight_is_not_packed_for_a_row(native: str, dtype: torch.dtype) -> None:
    """One row and a large weight are PyTorch's; not more rows, nor a norm and a smaller weight."""
    limit = WORTH_PACKING[dtype][0]
    large = torch.zeros(limit // 64 + 1, 64, dtype=dtype)
    one, many = torch.ones(1, 64, dtype=dtype), torch.ones(25, 64, dtype=dtype)
    with pytest.raises(BackendError, match=f"packing a weight of {large.numel()} values"):
        linear(one, large, backend="native")
    assert torch.equal(linear(one, large), linear(one, large, backend="reference"))
    linear(one, large[:-1], backend="native")
    linear(one, large, norm_eps=EPS, backend="native")
    linear(many, large, backend="native")
    linear(many[:0], large, backend="native")


def test_a_few_rows_are_those_of_many(instruction_set: str) -> None:
    """However rows are shared, by panels of outputs or in tiles, a row has the same bits."""
    for dtype in DTYPES:
        x, weight, bias, residual = operands(200, 67, 150, dtype)
        for rest in ((None, False), (EPS, True)):
            together = run(instruction_set, x, weight, bias, residual, *rest)
            for rows in (1, 5, 64, 65):
                part = run(instruction_set, x[:rows], weight, bias, residual[:rows], *rest)
                assert torch.equal(part, together[:rows])
