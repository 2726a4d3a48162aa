"""Distances of many widths from the interpreted kernel: bit for bit those of the dense one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tvtfast.kernels import attention_map_distance, attention_map_distances

DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def candidates(dtype: torch.dtype) -> list[Tensor]:
    """Features ``[2, C, 3, 5]`` of several widths, layouts and alignments."""
    planes = [torch.randn(2, width, 3, 5) for width in (1, 17, 40, 136)]
    tokens = [torch.randn(2, 1 + 15, width)[:, 1:].transpose(1, 2) for width in (8, 33, 136)]
    views = [x.unflatten(2, (3, 5)) for x in tokens]
    unaligned = torch.randn(2 * 16 * 3 * 5 + 1)[1:].view(2, 16, 3, 5)
    cropped = torch.randn(2, 9, 5, 7)[:, :, 1:-1, 1:-1]
    innermost = torch.randn(3, 5, 24, 2).permute(3, 2, 0, 1)
    return [x.to(dtype) for x in (*planes, *views, unaligned, cropped, innermost)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", (None, (4, 2)))
def test_bits_of_the_dense_form(
    poisoned: None, dtype: torch.dtype, size: tuple[int, int] | None
) -> None:
    xs = candidates(dtype)
    teacher = torch.rand(2, size[0] * size[1] if size else 15)
    actual = attention_map_distances(xs, teacher, size=size, backend="triton")
    expected = [attention_map_distance(x, teacher, size=size, backend="triton") for x in xs]
    assert torch.equal(actual, torch.stack(expected))


def test_maps_larger_than_a_program(poisoned: None) -> None:
    xs = [torch.randn(2, width, 33, 32) for width in (3, 8)]
    teacher = torch.rand(33 * 32)
    actual = attention_map_distances(xs, teacher, backend="triton")
    expected = [attention_map_distance(x, teacher, backend="triton") for x in xs]
    assert torch.equal(actual, torch.stack(expected))


def test_no_images() -> None:
    xs = [torch.empty(0, width, 3, 4) for width in (2, 3)]
    assert attention_map_distances(xs, torch.rand(12), backend="triton").shape == (2, 0)


def test_nan_stays_in_its_image() -> None:
    xs = [torch.ones(2, width, 3, 4) for width in (5, 6)]
    xs[1][0, 2, 1, 1] = torch.nan
    actual = attention_map_distances(xs, torch.rand(12), backend="triton")
    assert actual.isnan().tolist() == [[False, False], [True, False]]


def test_gradients() -> None:
    """Candidate by candidate, through the kernels of one."""
    xs = [torch.randn(2, width, 3, 4, requires_grad=True) for width in (5, 8)]
    teacher = torch.rand(2, 12)
    found = []
    for backend in ("triton", "reference"):
        distances = attention_map_distances(xs, teacher, backend=backend)
        found.append(torch.autograd.grad(distances.sum(), xs))
    torch.testing.assert_close(*found)
