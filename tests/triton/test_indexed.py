"""Index-keyed numbers of the interpreted kernels: the bits of the reference."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tvtfast.kernels import BackendError, indexed_normal_, indexed_uniform_

SHAPES = ((), (1,), (7,), (197,), (2047,), (2049,), (5, 6), (9, 129), (2, 3, 4), (4, 3, 5, 7))
FILLS = ((indexed_normal_, {"mean": 0.3, "std": 0.7}), (indexed_uniform_, {"low": -3, "high": 5}))


def bits(tensor: Tensor) -> Tensor:
    return tensor.contiguous().flatten().view(torch.uint8)


@pytest.mark.parametrize("shape", SHAPES)
def test_bits(shape: tuple[int, ...]) -> None:
    dtypes = (torch.float32, torch.float16, torch.float64)
    for fill, limits in FILLS:
        for dtype in dtypes if len(shape) == 2 else dtypes[:1]:
            first, second = (torch.full(shape, torch.nan, dtype=dtype) for _ in range(2))
            fill(first, seed=9, name="b", backend="reference", **limits)
            fill(second, seed=9, name="b", backend="triton", **limits)
            assert torch.equal(bits(first), bits(second))


@pytest.mark.parametrize("seed", (0, 1, 2**64 - 1))
def test_keys(seed: int) -> None:
    for name in ("", "blocks.0.attn.qkv.weight"):
        first, second = (
            indexed_normal_(torch.empty(64), seed=seed, name=name, backend=b)
            for b in ("reference", "triton")
        )
        assert torch.equal(bits(first), bits(second))


def test_strides_and_canaries() -> None:
    expected = indexed_normal_(torch.empty(3, 4, 5), seed=1, name="w", backend="reference")
    padded = torch.zeros(3, 6, 9)
    for view in (
        padded[:, 1:5, 2:7],
        torch.zeros(5, 4, 3).permute(2, 1, 0),
        torch.zeros(3, 4, 10)[..., ::2],
    ):
        indexed_normal_(view, seed=1, name="w", backend="triton")
        assert torch.equal(view, expected)
    assert padded.count_nonzero() == 60


def test_nothing_to_fill() -> None:
    assert indexed_normal_(torch.empty(0, 5), seed=0, name="w", backend="triton").shape == (0, 5)


def test_version_counter() -> None:
    parameter = torch.nn.Parameter(torch.empty(4, 4))
    version = parameter._version
    indexed_uniform_(parameter, seed=0, name="p", backend="triton")
    assert parameter._version > version and parameter.is_leaf
    with torch.inference_mode():
        indexed_normal_(torch.empty(4), seed=0, name="p", backend="triton")


def test_overlapping_elements_are_declined() -> None:
    with pytest.raises(BackendError, match="stride of 0"):
        indexed_normal_(torch.empty(1).expand(4), seed=0, name="w", backend="triton")
