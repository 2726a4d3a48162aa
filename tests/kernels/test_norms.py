"""segment_norms and slice_norms against straight fp64 formulas."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tvtfast.kernels import pack_segments, pack_slices, segment_norms, slice_norms
from tvtfast.kernels.dispatch import OPERATORS

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
CHUNK = 1 << 14
LENGTHS = (1, 7, 197, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5, 0)


def norm(tensor: Tensor) -> float:
    return math.sqrt(math.fsum(value * value for value in tensor.double().flatten().tolist()))


def assert_norms_close(actual: Tensor, expected: list[float], dtype: torch.dtype, n: int) -> None:
    bound = OPERATORS["segment_norms"].tolerance(dtype, n)
    for value, exact in zip(actual.tolist(), expected, strict=True):
        assert abs(value - exact) <= bound * exact, (value, exact)


@pytest.mark.parametrize("packed", (False, True))
@pytest.mark.parametrize("dtype", DTYPES)
def test_segments(backend: str, dtype: torch.dtype, packed: bool) -> None:
    tensors = [torch.randn(length).to(dtype) for length in LENGTHS]
    actual = segment_norms(pack_segments(tensors) if packed else tensors, backend=backend)
    assert actual.dtype == torch.float32
    assert_norms_close(actual, [norm(tensor) for tensor in tensors], dtype, max(LENGTHS))


def test_mixed_dtypes_shapes_and_strides(backend: str) -> None:
    tensors = [
        torch.randn(3, 5, 7),
        torch.randn(8, 6).half().t(),
        torch.randn(10, 10)[::2, ::3],
        torch.randn(4, 1).expand(4, 5),
        torch.tensor(-2.5).bfloat16(),
        torch.empty(0, 3),
        torch.nn.Parameter(torch.randn(4, 3, 2, 2).contiguous(memory_format=torch.channels_last)),
    ]
    actual = segment_norms(tensors, backend=backend)
    assert_norms_close(actual, [norm(tensor) for tensor in tensors], torch.float32, 105)


def test_fp64_segments_have_fp64_norms() -> None:
    tensors = [torch.randn(100, dtype=torch.float64), torch.randn(3)]
    actual = segment_norms(tensors)
    assert actual.dtype == torch.float64
    assert actual[0].item() == pytest.approx(norm(tensors[0]), rel=1e-14)


@pytest.mark.parametrize("dtype", (*DTYPES, torch.float32))
def test_values_near_the_largest(backend: str, dtype: torch.dtype) -> None:
    largest = min(torch.finfo(dtype).max / 8, 1e37)
    tensors = [torch.full((17,), largest).to(dtype), torch.full((4,), 1e-30).to(dtype)]
    actual = segment_norms(tensors, backend=backend)
    assert_norms_close(actual, [norm(tensor) for tensor in tensors], dtype, 17)


def test_nothing_to_do() -> None:
    assert segment_norms([]).shape == (0,)
    assert segment_norms(pack_segments([])).shape == (0,)
    assert slice_norms(torch.ones(3, 3), []).shape == (0,)


def test_nan_stays_in_its_segment(backend: str) -> None:
    tensors = [torch.ones(4), torch.tensor([1.0, torch.nan]), torch.tensor([torch.inf])]
    actual = segment_norms(tensors, backend=backend)
    assert actual[0] == 2 and actual[1].isnan() and actual[2].isinf()


def test_threads_do_not_change_bits(native: str, threads: None) -> None:
    tensors = [torch.randn(length) for length in (700_000, 5, 300_001, 64)]
    weight = torch.randn(1000, 500)
    sizes = [(o, i) for o in (1, 500, 1000) for i in (3, 200, 500)]
    results = []
    for count in (1, 2, 3, 7):
        torch.set_num_threads(count)
        results.append(
            torch.cat(
                [
                    segment_norms(tensors, backend=native),
                    slice_norms(weight, sizes, backend=native),
                ]
            )
        )
    assert all(torch.equal(result, results[0]) for result in results)


def test_table_sees_values_changed_in_place(backend: str) -> None:
    tensors = [torch.ones(4), torch.ones(9)]
    table = pack_segments(tensors)
    tensors[1].mul_(2)
    assert segment_norms(table, backend=backend).tolist() == [2, 6]
    assert len(table) == 2 and "13 elements" in repr(table)


def test_table_refuses_moved_tensors(native: str) -> None:
    parameter = torch.nn.Parameter(torch.ones(4))
    table = pack_segments([torch.ones(2), parameter])
    parameter.data = torch.ones(4)
    with pytest.raises(RuntimeError, match="tensor 1 .*pack the tensors again"):
        segment_norms(table, backend=native)


def test_table_needs_dense_tensors() -> None:
    with pytest.raises(ValueError, match="tensor 1 .*gaps.*contiguous"):
        pack_segments([torch.ones(4, 4).t(), torch.ones(4, 4)[:, :2]])
    with pytest.raises(ValueError, match="gaps"):
        pack_segments([torch.ones(1).expand(4)])


def test_wrong_segments() -> None:
    with pytest.raises(TypeError, match="int64"):
        segment_norms([torch.ones(2), torch.ones(2, dtype=torch.int64)])
    with pytest.raises(TypeError, match="tensor 1 is a list"):
        segment_norms([torch.ones(2), [1.0]])
    with pytest.raises(ValueError, match="cpu, meta"):
        segment_norms([torch.ones(2), torch.ones(2, device="meta")])


@pytest.mark.parametrize("dtype", (*DTYPES, torch.float64))
@pytest.mark.parametrize("shape", ((1, 1), (7, 197), (64, 48), (33, 130)))
def test_slices(backend: str, dtype: torch.dtype, shape: tuple[int, int]) -> None:
    if backend == "native" and dtype == torch.float64:
        pytest.skip("native declines fp64")
    weight = torch.randn(shape).to(dtype)
    sizes = [(o, i) for o in (0, 1, shape[0] // 2, shape[0]) for i in (0, 1, shape[1])]
    actual = slice_norms(weight, sizes[::-1] + sizes, backend=backend)
    expected = [norm(weight[:o, :i]) for o, i in sizes[::-1] + sizes]
    assert_norms_close(actual, expected, dtype, weight.numel())


def test_slices_of_strided_weights(backend: str) -> None:
    base = torch.randn(20, 30)
    for weight in (base.t(), base[:, 3:17], base[::2], base[:, ::3], base[:1].expand(5, 30)):
        sizes = torch.tensor([[3, 4], [weight.shape[0], weight.shape[1]]])
        expected = [norm(weight[:o, :i]) for o, i in sizes.tolist()]
        actual = slice_norms(weight, sizes.int(), backend=backend)
        assert_norms_close(actual, expected, torch.float32, 600)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_slices(data: st.DataObject) -> None:
    rows, columns = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 12))
    pair = st.tuples(st.integers(0, rows), st.integers(0, columns))
    sizes = data.draw(st.lists(pair, max_size=8))
    weight = torch.randn(rows, columns)
    expected = [norm(weight[:o, :i]) for o, i in sizes]
    assert_norms_close(slice_norms(weight, sizes), expected, torch.float32, 144)


def test_slices_outside_do_not_poison_those_inside(backend: str) -> None:
    weight = torch.full((4, 4), torch.nan)
    weight[:2, :2] = 1
    assert slice_norms(weight, [(2, 2), (1, 2)], backend=backend)[0] == 2


def test_tables_of_slices(backend: str) -> None:
    sizes = torch.tensor([(o, i) for o in (0, 1, 5, 9) for i in (0, 2, 7)])
    table = pack_slices(sizes.int())
    assert len(table) == 12 and repr(table) == "SliceTable(12 slices of up to 9 x 7)"
    for weight in (torch.randn(9, 7), torch.randn(12, 10).half(), torch.randn(7, 9).t()):
        expected = slice_norms(weight, sizes, backend=backend)
        assert torch.equal(slice_norms(weight, table, backend=backend), expected)
    assert torch.equal(table.sizes, sizes)
    with pytest.raises(ValueError, match=r"sizes\[2\] = \(0, 7\).*0 to 9 rows and 0 to 6 columns"):
        slice_norms(torch.ones(9, 6), table, backend=backend)
    assert slice_norms(torch.ones(3, 3), pack_slices([]), backend=backend).shape == (0,)


def test_many_slices(backend: str) -> None:
    """Every size there is, many times over and in any order."""
    weight = torch.randn(37, 53)
    sizes = torch.stack([torch.randint(38, (20_000,)), torch.randint(54, (20_000,))], 1)
    expected = torch.nn.functional.pad(weight.double().square().cumsum(0).cumsum(1), (1, 0, 1, 0))
    expected = expected[sizes[:, 0], sizes[:, 1]].sqrt().tolist()
    actual = slice_norms(weight, sizes, backend=backend)
    assert_norms_close(actual, expected, torch.float32, weight.numel())


@pytest.mark.parametrize("size", ((5, 1), (1, 7), (-1, 2)))
def test_slices_outside_the_weight(backend: str, size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"sizes\[1\].*0 to 4 rows and 0 to 6 columns"):
        slice_norms(torch.ones(4, 6), [(1, 1), size], backend=backend)


def test_wrong_slices() -> None:
    with pytest.raises(ValueError, match="matrix.*flatten"):
        slice_norms(torch.ones(2, 3, 4), [(1, 1)])
    with pytest.raises(ValueError, match=r"pack_slices: .*integers \[n, 2\]"):
        pack_slices(torch.ones(3, 3, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"integers \[n, 2\]"):
        slice_norms(torch.ones(2, 3), torch.ones(3, dtype=torch.int64))
    with pytest.raises(ValueError, match="float32"):
        slice_norms(torch.ones(2, 3), torch.ones(3, 2))
    with pytest.raises(TypeError, match="int8"):
        slice_norms(torch.ones(2, 3, dtype=torch.int8), [(1, 1)])


@pytest.mark.parametrize("packed", (False, True))
@pytest.mark.parametrize("dtype", DTYPES)
def test_gradient_of_segments(backend: str, dtype: torch.dtype, packed: bool) -> None:
    """Units of the tensors times what arrives, each in the dtype of its tensor."""
    tensors = [torch.randn(length).to(dtype).requires_grad_() for length in (7, 1, 300)]
    tensors += [torch.randn(6, 4).t(), torch.zeros(5, requires_grad=True)]
    norms = segment_norms(pack_segments(tensors) if packed else tensors, backend=backend)
    weights = torch.tensor([2.0, -1.0, 0.5, 1.0, 3.0])
    (norms * weights).sum().backward()
    for tensor, weight in zip(tensors[:3], weights.tolist(), strict=False):
        exact = weight * tensor.detach().double() / norm(tensor.detach())
        assert tensor.grad.dtype == dtype
        limit = 4 * torch.finfo(dtype).eps * exact.abs() + torch.finfo(dtype).tiny
        assert ((tensor.grad.double() - exact).abs() <= limit).all()
    assert tensors[3].grad is None
    assert torch.equal(tensors[4].grad, torch.zeros(5))


def test_gradients_of_small_and_large_values(backend: str) -> None:
    """Neither a norm nor its reciprocal is ever rounded to the dtype of the tensor."""
    values = [1e-7, 6e4]
    tensors = [torch.full((4,), value).half().requires_grad_() for value in values]
    segment_norms(tensors, backend=backend).sum().backward()
    weight = torch.full((2, 2), 1e-30, requires_grad=True)
    slice_norms(weight, [(2, 2)], backend=backend).sum().backward()
    for tensor in (*tensors, weight):
        torch.testing.assert_close(tensor.grad, torch.full_like(tensor, 0.5))


def test_second_derivatives_of_norms() -> None:
    xs = [torch.randn(3, 4), torch.randn(5)]
    xs = [x.double().requires_grad_() for x in xs]
    assert torch.autograd.gradgradcheck(lambda *xs: segment_norms(xs), xs)
    sizes = [(3, 4), (1, 2), (3, 1), (1, 2)]
    assert torch.autograd.gradgradcheck(lambda x: slice_norms(x, sizes), xs[:1])


@pytest.mark.parametrize("packed", (False, True))
@pytest.mark.parametrize("dtype", DTYPES)
def test_gradient_of_slices(backend: str, dtype: torch.dtype, packed: bool) -> None:
    """Against norms of the slices one by one; signs that cancel, repeated and empty slices."""
    weight = torch.randn(7, 9).to(dtype).t().requires_grad_()
    sizes = [(9, 7), (3, 2), (0, 5), (9, 1), (3, 2), (1, 7), (4, 0)]
    weights = torch.tensor([1.0, -2.0, 3.0, 0.5, -1.0, 2.0, 7.0])
    norms = slice_norms(weight, pack_slices(sizes) if packed else sizes, backend=backend)
    (actual,) = torch.autograd.grad((norms * weights).sum(), weight)
    wide = weight.detach().double().requires_grad_()
    plain = [torch.linalg.vector_norm(wide[:o, :i]) for o, i in sizes]
    (exact,) = torch.autograd.grad((torch.stack(plain) * weights).sum(), wide)
    assert actual.dtype == dtype
    torch.testing.assert_close(actual, exact.to(dtype), rtol=4 * torch.finfo(dtype).eps, atol=1e-6)


def test_gradient_outside_the_slices(backend: str) -> None:
    """Entries in no slice have none, whatever they are; an empty weight has an empty one."""
    weight = torch.full((4, 4), torch.nan)
    weight[:2, :2] = 1
    weight.requires_grad_()
    (actual,) = torch.autograd.grad(slice_norms(weight, [(2, 2)], backend=backend).sum(), weight)
    expected = torch.nn.functional.pad(torch.full((2, 2), 0.5), (0, 2, 0, 2))
    assert torch.equal(actual, expected)
    for shape in ((0, 3), (2, 0)):
        weight = torch.ones(shape, requires_grad=True)
        norms = slice_norms(weight, [shape, (0, 0)], backend=backend)
        assert torch.autograd.grad(norms.sum(), weight)[0].shape == shape


def test_table_refuses_moved_tensors_where_gradients_are_recorded(backend: str) -> None:
    parameter = torch.nn.Parameter(torch.ones(4))
    table = pack_segments([parameter])
    parameter.data = torch.ones(4)
    with pytest.raises(RuntimeError, match="tensor 0 .*pack the tensors again"):
        segment_norms(table, backend=backend)


def test_native_writes_its_outputs_and_nothing_else(native: str) -> None:
    from tvtfast import _C

    guard = 16
    buffer = torch.full((2 * guard + 3,), torch.nan)
    buffer[:guard] = buffer[-guard:] = 123.0
    at = buffer.data_ptr() + guard * buffer.itemsize
    table = pack_segments([torch.ones(4), torch.empty(0), torch.ones(9)])
    columns = (t.data_ptr() for t in (table.addresses, table.lengths, table.dtypes))
    _C.segment_norms(*columns, 3, at, 2)
    assert buffer[guard:-guard].tolist() == [2, 0, 3]
    weight, sizes = torch.ones(4, 4), torch.tensor([[4, 4], [0, 3], [1, 1]])
    _C.slice_norms(weight.data_ptr(), 0, 4, sizes.data_ptr(), 3, 4, 4, at, 2)
    assert buffer[guard:-guard].tolist() == [4, 0, 1]
    assert (buffer[:guard] == 123).all() and (buffer[-guard:] == 123).all()
