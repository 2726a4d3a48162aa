"""packed_attention against the formula in fp64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tvtfast.kernels import BackendError, packed_attention
from tvtfast.kernels.backend.native import DTYPE_CODES, missing
from tvtfast.kernels.dispatch import OPERATORS
from tvtfast.kernels.packed_attention import native as native_module

DTYPES = tuple(DTYPE_CODES)
TOKENS = (1, 7, 8, 15, 16, 17, 31, 33, 47, 48, 49, 97, 197)
DIMS = (1, 5, 8, 15, 16, 17, 54, 60, 64, 72, 80, 128)


def heads_of(qkv: Tensor, heads: int) -> tuple[Tensor, ...]:
    """Queries, keys and values ``[B, H, T, D]`` in fp64."""
    return qkv.double().unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)


def formula(qkv: Tensor, heads: int, scale: float | None = None) -> Tensor:
    q, k, v = heads_of(qkv, heads)
    factor = q.shape[-1] ** -0.5 if scale is None else scale
    logits = (q @ k.transpose(-1, -2)) * factor
    weights = (logits - logits.amax(dim=-1, keepdim=True)).exp()
    mixed = (weights / weights.sum(dim=-1, keepdim=True)) @ v
    return mixed.permute(0, 2, 1, 3).flatten(2)


def bound(qkv: Tensor, heads: int, scale: float | None = None) -> Tensor:
    """Allowed absolute error, for every head of every image; ``[B, 1, H, 1]``."""
    q, k, v = (tensor.abs() for tensor in heads_of(qkv, heads))
    factor = q.shape[-1] ** -0.5 if scale is None else abs(scale)
    extent = factor * (q @ k.transpose(-1, -2)).max().item()
    length = max(q.shape[-2:])
    relative = OPERATORS["packed_attention"].tolerance(qkv.dtype, length, extent)
    return relative * v.amax(dim=(2, 3))[:, None, :, None]


def assert_attention(actual: Tensor, qkv: Tensor, heads: int, scale: float | None = None) -> None:
    assert actual.dtype == qkv.dtype and actual.shape == (*qkv.shape[:-1], qkv.shape[-1] // 3)
    error = (actual.double() - formula(qkv, heads, scale)).abs().unflatten(-1, (heads, -1))
    assert (error <= bound(qkv, heads, scale)).all(), (error / bound(qkv, heads, scale)).max()


def run(instruction_set: str, qkv: Tensor, heads: int, scale: float | None = None) -> Tensor:
    factor = (qkv.shape[-1] // (3 * heads)) ** -0.5 if scale is None else scale
    return native_module.run(
        native_module.Arguments(qkv, heads, factor), instruction_set=instruction_set
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("tokens", TOKENS)
def test_every_kernel(instruction_set: str, tokens: int, dtype: torch.dtype) -> None:
    for dim in DIMS:
        qkv = torch.randn(2, tokens, 3 * 2 * dim).to(dtype)
        assert_attention(run(instruction_set, qkv, 2), qkv, 2)


@pytest.mark.parametrize("dtype", (*DTYPES, torch.float64))
@pytest.mark.parametrize("shape", ((3, 17, 3, 20), (1, 50, 4, 16), (2, 5, 1, 7)))
def test_backends(backend: str, dtype: torch.dtype, shape: tuple[int, int, int, int]) -> None:
    if backend == "native" and dtype == torch.float64:
        pytest.skip("native declines fp64")
    images, tokens, heads, dim = shape
    qkv = torch.randn(images, tokens, 3 * heads * dim, dtype=dtype)
    for scale in (None, 0.0, 1.5, -0.7):
        assert_attention(
            packed_attention(qkv, heads, scale=scale, backend=backend), qkv, heads, scale
        )


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_long_sequence(instruction_set: str, dtype: torch.dtype) -> None:
    qkv = torch.randn(1, 785, 3 * 64).to(dtype)
    assert_attention(run(instruction_set, qkv, 1), qkv, 1)


def test_leading_dimensions(backend: str) -> None:
    qkv = torch.randn(2, 3, 9, 3 * 12)
    rows = packed_attention(qkv, 2, backend=backend)
    assert rows.shape == (2, 3, 9, 12)
    for one, image in zip(rows.flatten(0, 1), qkv.flatten(0, 1), strict=True):
        torch.testing.assert_close(packed_attention(image, 2, backend=backend), one)
    for shape in ((0, 9, 36), (2, 0, 36), (2, 0, 9, 36), (0, 36)):
        empty = packed_attention(torch.empty(shape), 2, backend=backend)
        assert empty.shape == (*shape[:-1], 12)


@pytest.mark.parametrize("dtype", DTYPES)
def test_strides(backend: str, dtype: torch.dtype) -> None:
    base = torch.randn(4, 40, 61).to(dtype)
    for qkv in (
        base[:, :, 1:37],
        base[::2, 3:20, :36],
        base[:, ::3, 5:41],
        base.transpose(0, 1)[:, :, :36],
        base[:, :36].transpose(1, 2),
        base[:1, :, :36].expand(3, 40, 36),
        base[:, :1, :36].expand(4, 19, 36),
    ):
        assert_attention(packed_attention(qkv, 3, backend=backend), qkv, 3)


@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_goes_where_the_formula_takes_it(instruction_set: str, dtype: torch.dtype) -> None:
    clean = torch.randn(2, 21, 3 * 2 * 5).to(dtype)
    for column in (3, 13, 23):
        for value in (torch.nan, torch.inf, -torch.inf):
            qkv = clean.clone()
            qkv[1, 4, column] = value
            actual, exact = run(instruction_set, qkv, 2), formula(qkv, 2)
            assert torch.equal(actual.isnan(), exact.isnan()), (column, value)
            finite = exact.isfinite()
            torch.testing.assert_close(actual.double()[finite], exact[finite], rtol=0, atol=0.05)


@pytest.mark.parametrize("dtype", DTYPES)
def test_logits_far_apart(instruction_set: str, dtype: torch.dtype) -> None:
    """A softmax that is one-hot, and one over equal large logits."""
    size = {torch.float32: 1e15, torch.float16: 200.0, torch.bfloat16: 1e15}[dtype]
    q = size * torch.eye(18)
    v = torch.randn(18, 18)
    one_hot = torch.cat([q, size * torch.eye(18), v], dim=1)[None].to(dtype)
    torch.testing.assert_close(run(instruction_set, one_hot, 1)[0], one_hot[0, :, 36:])
    equal = torch.cat([torch.full((18, 36), size), v], dim=1)[None].to(dtype)
    mean = equal[0, :, 36:].double().mean(dim=0).expand(18, 18)
    torch.testing.assert_close(
        run(instruction_set, equal, 1)[0].double(), mean, rtol=0.02, atol=0.02
    )


def test_threads_do_not_change_bits(native: str, threads: None) -> None:
    for dtype in DTYPES:
        for shape, heads in (((1, 200, 3 * 48), 1), ((5, 65, 3 * 3 * 24), 3), ((2, 331, 36), 2)):
            qkv = torch.randn(shape).to(dtype)
            results = []
            for count in (1, 2, 3, 7):
                torch.set_num_threads(count)
                results.append(packed_attention(qkv, heads, backend=native))
            assert all(torch.equal(result, results[0]) for result in results)


def test_other_queries_and_images_do_not_change_bits(native: str) -> None:
    qkv = torch.randn(3, 70, 3 * 2 * 10)
    together = packed_attention(qkv, 2, backend=native)
    assert torch.equal(packed_attention(qkv[1:2], 2, backend=native), together[1:2])
    other = qkv.clone()
    other[:, :50, :20] = 7
    assert torch.equal(packed_attention(other, 2, backend=native)[:, 50:], together[:, 50:])


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_properties(data: st.DataObject) -> None:
    """Equal values stay what they are; permuted tokens permute the output."""
    if missing():
        pytest.skip(missing()[0])
    tokens, heads = data.draw(st.integers(1, 70)), data.draw(st.integers(1, 3))
    dim, dtype = data.draw(st.integers(1, 40)), data.draw(st.sampled_from(DTYPES))
    name = data.draw(st.sampled_from(native_module.instruction_sets()))
    torch.manual_seed(data.draw(st.integers(0, 99)))
    qkv = torch.randn(1, tokens, 3 * heads * dim).to(dtype)
    order = torch.randperm(tokens)
    permuted = run(name, qkv[:, order], heads).double().unflatten(-1, (heads, dim))
    original = run(name, qkv, heads)[:, order].double().unflatten(-1, (heads, dim))
    assert ((permuted - original).abs() <= 2 * bound(qkv, heads)).all()

    constant = qkv.clone()
    constant[:, :, 2 * heads * dim :] = qkv[:, :1, 2 * heads * dim :]
    assert_attention(run(name, constant, heads), constant, heads)


def test_equal_values_stay_in_bf16(native: str) -> None:
    """Probabilities are divided by the sum of what they were rounded to."""
    if "avx512_bf16" not in native_module.instruction_sets():
        pytest.skip("this CPU has no avx512_bf16")
    qkv = torch.randn(2, 197, 3 * 60).bfloat16()
    qkv[:, :, 120:] = qkv[:, :1, 120:]
    assert torch.equal(packed_attention(qkv, 1, backend=native), qkv[:, :, 120:])


def test_native_writes_its_output_and_nothing_else(instruction_set: str) -> None:
    from tvtfast import _C

    guard = 64
    code = native_module.INSTRUCTION_SETS.index(instruction_set)
    for dtype in DTYPES:
        qkv = torch.randn(2, 19, 3 * 2 * 11).to(dtype)
        buffer = torch.full((2 * guard + 2 * 19 * 22,), torch.nan, dtype=dtype)
        buffer[:guard] = buffer[-guard:] = 123
        at = buffer.data_ptr() + guard * buffer.itemsize
        strides = qkv.stride()[:2]
        _C.packed_attention(
            qkv.data_ptr(), DTYPE_CODES[dtype], (2, 19, 2, 11), strides, 0.3, at, code, 2
        )
        assert_attention(buffer[guard:-guard].view(2, 19, 22), qkv, 2, 0.3)
        assert (buffer[:guard] == 123).all() and (buffer[-guard:] == 123).all()


def test_native_reads_its_input_and_nothing_else(instruction_set: str) -> None:
    """What lies beside the rows is NaN, and would poison every sum it entered."""
    for dtype in DTYPES:
        padded = torch.full((2, 19, 3 * 11 + 40), torch.nan, dtype=dtype)
        padded[:, :, 20:53] = torch.randn(2, 19, 33).to(dtype)
        qkv = padded[:, :, 20:53]
        assert_attention(run(instruction_set, qkv, 1), qkv, 1)


def test_gradients_are_those_of_the_formula() -> None:
    qkv = torch.randn(2, 9, 3 * 2 * 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, 9, 8, dtype=torch.float64)
    (actual,) = torch.autograd.grad((packed_attention(qkv, 2) * weight).sum(), qkv)
    (exact,) = torch.autograd.grad((formula(qkv, 2) * weight).sum(), qkv)
    torch.testing.assert_close(actual, exact)
    single = qkv.detach().float().requires_grad_()
    (rounded,) = torch.autograd.grad((packed_attention(single, 2) * weight).sum(), single)
    torch.testing.assert_close(rounded.double(), exact, rtol=1e-4, atol=1e-5)
    with pytest.raises(BackendError, match="'native' .*gradients are recorded.*'reference'"):
        packed_attention(single, 2, backend="native")
    with torch.no_grad():
        assert not packed_attention(single, 2).requires_grad


def test_transforms_match_the_formula() -> None:
    qkv, tangent = torch.randn(2, 3, 9, 24, dtype=torch.float64)
    ours, plain = (lambda x: packed_attention(x, 2)), (lambda x: formula(x, 2))
    actual = torch.func.jvp(ours, (qkv,), (tangent,))
    torch.testing.assert_close(actual, torch.func.jvp(plain, (qkv,), (tangent,)))
    torch.testing.assert_close(
        torch.func.grad(lambda x: ours(x).sin().sum())(qkv),
        torch.func.grad(lambda x: plain(x).sin().sum())(qkv),
    )
    batch = torch.randn(4, 3, 9, 24)
    torch.testing.assert_close(torch.vmap(ours)(batch), torch.stack([*map(ours, batch)]))
    with pytest.raises(BackendError, match="torch.func"):
        torch.vmap(lambda x: packed_attention(x, 2, backend="native"))(batch)


def test_opcheck(backend: str) -> None:
    operator = torch.ops.tvtfast.packed_attention
    base = torch.randn(2, 9, 30)
    for qkv in (base[:, :, :24], base.bfloat16(), base[:0], base.transpose(0, 1)):
        torch.library.opcheck(operator, (qkv, 2, 0.5), {"backend": backend})


def test_compile_full_graph() -> None:
    def mixed(qkv: Tensor) -> Tensor:
        return packed_attention(qkv * 2, 2)

    compiled = torch.compile(mixed, fullgraph=True, backend="aot_eager", dynamic=True)
    for shape in ((2, 9, 24), (3, 5, 24), (3, 7, 36)):
        qkv = torch.randn(shape)
        torch.testing.assert_close(compiled(qkv), mixed(qkv))
    qkv.requires_grad_()
    (actual,) = torch.autograd.grad(torch.compile(mixed, backend="aot_eager")(qkv).sum(), qkv)
    torch.testing.assert_close(actual, torch.autograd.grad(mixed(qkv).sum(), qkv)[0])


def test_autocast_changes_nothing(backend: str) -> None:
    qkv = torch.randn(2, 9, 24)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert_attention(packed_attention(qkv, 2, backend=backend), qkv, 2)


def test_wrong_arguments() -> None:
    with pytest.raises(TypeError, match="qkv has dtype int64"):
        packed_attention(torch.ones(2, 3, 6, dtype=torch.int64), 1)
    with pytest.raises(ValueError, match=r"shape \(6,\).*tokens"):
        packed_attention(torch.ones(6), 1)
    for width, heads in ((8, 1), (6, 4), (6, 0), (6, -1), (0, 2)):
        with pytest.raises(ValueError, match=f"{width}, does not split.*num_heads={heads} "):
            packed_attention(torch.ones(2, 3, width), heads)
    with pytest.raises(BackendError, match="qkv is float64.*allowed: float32"):
        packed_attention(torch.ones(2, 3, 6, dtype=torch.float64), 1, backend="native")


def test_cpus_without_a_kernel_are_declined(native: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tvtfast.kernels.backend.native.instruction_sets", lambda: ())
    qkv = torch.randn(2, 9, 24)
    assert_attention(packed_attention(qkv, 2), qkv, 2)
    with pytest.raises(BackendError, match="no kernel here.*AVX2"):
        packed_attention(qkv, 2, backend="native")
