"""Norms of the interpreted kernels against fp64."""

from __future__ import annotations

import pytest
import torch

from tvtfast.kernels import pack_segments, pack_slices, segment_norms, slice_norms
from tvtfast.kernels.dispatch import OPERATORS

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
CHUNK, BLOCK = 1 << 14, 2048
LENGTHS = (1, 7, 197, 0, BLOCK - 1, BLOCK, BLOCK + 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5)


def assert_norms(actual: torch.Tensor, tensors: list[torch.Tensor]) -> None:
    bound = OPERATORS["segment_norms"].tolerance(torch.float32, max(t.numel() for t in tensors))
    exact = torch.stack([torch.linalg.vector_norm(t, dtype=torch.float64) for t in tensors])
    assert actual.dtype == torch.float32
    assert ((actual - exact).abs() <= bound * exact).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_segments(poisoned: None, dtype: torch.dtype) -> None:
    tensors = [torch.randn(length).to(dtype) for length in LENGTHS]
    actual = segment_norms(tensors, backend="triton")
    assert_norms(actual, tensors)
    assert torch.equal(segment_norms(pack_segments(tensors), backend="triton"), actual)


def test_kinds_are_mixed(poisoned: None) -> None:
    """Dtypes and alignments alternate; every norm must land at its own tensor."""
    tensors = []
    for length in (5, 40, 0, 300):
        for dtype in DTYPES:
            base = torch.randn(length + 1).to(dtype)
            tensors += [base[1:], base[:-1], torch.randn(3, 4).to(dtype)[:, ::2]]
    assert_norms(segment_norms(tensors, backend="triton"), tensors)


def test_only_empty_segments() -> None:
    assert segment_norms([torch.empty(0), torch.empty(0, 3)], backend="triton").tolist() == [0, 0]


def test_large_values_and_nans() -> None:
    tensors = [torch.full((5,), 1e20), torch.tensor([1.0, torch.nan]), torch.ones(4)]
    actual = segment_norms(tensors, backend="triton")
    assert_norms(actual[:1], tensors[:1])
    assert actual[1].isnan() and actual[2] == 2


def test_table_sees_new_values_and_refuses_moved_tensors() -> None:
    parameter = torch.nn.Parameter(torch.ones(4))
    table = pack_segments([torch.ones(9), parameter])
    assert segment_norms(table, backend="triton").tolist() == [3, 2]
    parameter.data.mul_(2)
    assert segment_norms(table, backend="triton").tolist() == [3, 4]
    parameter.data = torch.ones(4)
    with pytest.raises(RuntimeError, match="pack the tensors again"):
        segment_norms(table, backend="triton")


SIZES = [(o, i) for o in (0, 1, 31, 32, 33, 70) for i in (0, 7, 127, 128, 129, 197)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ("rows", "columns", "strided"))
def test_slices(poisoned: None, dtype: torch.dtype, layout: str) -> None:
    weight = torch.randn(70, 197).to(dtype)
    if layout == "columns":
        weight = weight.t().contiguous().t()
    elif layout == "strided":
        weight = torch.randn(140, 394).to(dtype)[::2, ::2]
    actual = slice_norms(weight, SIZES, backend="triton")
    assert_norms(actual, [weight[:o, :i] for o, i in SIZES])
    assert torch.equal(slice_norms(weight, SIZES, backend="triton"), actual)


def test_slices_of_whole_vectors(poisoned: None) -> None:
    weight = torch.randn(40, 192)
    sizes = [(40, 192), (24, 96), (3, 144)]
    actual = slice_norms(weight, sizes, backend="triton")
    assert_norms(actual, [weight[:o, :i] for o, i in sizes])


@pytest.mark.parametrize("shape", ((65, 10), (10, 65), (64, 3), (3, 64)))
def test_every_size_is_a_cut(poisoned: None, shape: tuple[int, int]) -> None:
    """Around the lines and the length of a block of the scan."""
    weight = torch.randn(shape)
    sizes = [(row, shape[1]) for row in range(shape[0] + 1)]
    sizes += [(shape[0] - 1, column) for column in range(shape[1] + 1)]
    actual = slice_norms(weight, sizes, backend="triton")
    assert_norms(actual, [weight[:o, :i] for o, i in sizes])


def test_more_slices_than_a_block(poisoned: None) -> None:
    weight, sizes = torch.randn(3, 4), torch.randint(4, (1025, 2))
    actual = slice_norms(weight, sizes, backend="triton")
    assert_norms(actual, [weight[:o, :i] for o, i in sizes.tolist()])


def test_a_table_is_packed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from tvtfast.kernels.slice_norms import triton_kernels as triton

    table = pack_slices(SIZES)
    weights = [torch.randn(70, 197), torch.randn(100, 200).half(), torch.randn(197, 70).t()]
    slice_norms(weights[0], table, backend="triton")
    expected = [slice_norms(weight, SIZES, backend="triton") for weight in weights]
    monkeypatch.delattr(triton, "pack")
    for weight, norms in zip(weights, expected, strict=True):
        assert torch.equal(slice_norms(weight, table, backend="triton"), norms)


def test_slices_outside_do_not_poison_those_inside() -> None:
    weight = torch.full((4, 4), torch.nan)
    weight[:2, :2] = 1
    actual = slice_norms(weight, [(2, 2), (1, 2), (3, 3)], backend="triton")
    assert actual[0] == 2 and actual[2].isnan()
    assert slice_norms(weight, [(0, 0), (0, 3)], backend="triton").tolist() == [0, 0]
    assert slice_norms(weight, [], backend="triton").shape == (0,)


@pytest.mark.parametrize("packed", (False, True))
def test_gradients(packed: bool) -> None:
    """Values of the kernels under a gradient in plain PyTorch."""
    weight = torch.randn(33, 20, requires_grad=True)
    sizes = [(33, 20), (5, 7), (0, 3), (5, 7)]
    slices = pack_slices(sizes) if packed else sizes
    segments = pack_segments([weight]) if packed else [weight]
    found = []
    for backend in ("triton", "reference"):
        norms = slice_norms(weight, slices, backend=backend)
        total = norms @ torch.tensor([1.0, -2.0, 3.0, 0.5])
        total = total + segment_norms(segments, backend=backend).sum()
        found.append(torch.autograd.grad(total, weight)[0])
    torch.testing.assert_close(*found)
