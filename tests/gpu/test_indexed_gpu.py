"""Index-keyed numbers in Triton on a real device, against fp64 on that device."""

from __future__ import annotations

import pytest
import torch

from tvtfast.kernels import indexed_normal_, indexed_uniform_, segment_norms, slice_norms

from .tensors import DTYPES, need_memory

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("triton_device")]


@pytest.mark.parametrize("dtype", (*DTYPES, torch.float64))
@pytest.mark.parametrize(
    "shape", ((), (7,), (1024, 1024), (33, 129), (64, 3, 16, 16), (4, 3, 5, 7))
)
def test_indexed_bits_are_those_of_the_cpu(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    for fill, limits in (
        (indexed_normal_, {"mean": 0.3, "std": 0.7}),
        (indexed_uniform_, {"low": -3, "high": 5}),
    ):
        here, there = (torch.full(shape, torch.nan, dtype=dtype, device=d) for d in ("cuda", "cpu"))
        fill(here, seed=9, name="b", backend="triton", **limits)
        fill(there, seed=9, name="b", backend="reference", **limits)
        assert torch.equal(here.cpu(), there)


def test_indexed_strides() -> None:
    expected = indexed_normal_(torch.empty(3, 4, 5), seed=1, name="w", backend="reference")
    padded = torch.zeros(3, 6, 9, device="cuda")
    for view in (padded[:, 1:5, 2:7], torch.zeros(5, 4, 3, device="cuda").permute(2, 1, 0)):
        indexed_normal_(view, seed=1, name="w", backend="triton")
        assert torch.equal(view.cpu(), expected)
    assert padded.count_nonzero() == 60


def test_fill_and_norm_beyond_32_bits() -> None:
    need_memory(16)
    rows, columns = 2**16 + 8, 2**15 + 8
    tensor = torch.empty(rows, columns, dtype=torch.bfloat16, device="cuda")
    assert tensor.numel() > 2**31
    indexed_uniform_(tensor, seed=3, name="w", low=1, high=1, backend="triton")
    assert torch.equal(tensor[-1].float(), torch.ones(columns, device="cuda"))
    actual = segment_norms([tensor, tensor[-1]], backend="triton").double().cpu()
    expected = torch.tensor([tensor.numel(), columns], dtype=torch.float64).sqrt()
    torch.testing.assert_close(actual, expected, rtol=1e-6, atol=0)
    slices = slice_norms(tensor, [(rows, columns), (rows - 1, 3)], backend="triton").double().cpu()
    expected = torch.tensor([rows * columns, 3 * (rows - 1)], dtype=torch.float64).sqrt()
    torch.testing.assert_close(slices, expected, rtol=1e-6, atol=0)
