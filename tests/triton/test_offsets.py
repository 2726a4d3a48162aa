"""Elements further than 2^31 from the first, in memory that is reserved and hardly touched.

Three entries along one axis lie 2^30 elements apart, so that the stride fits into 32 bits and its
multiples do not: a product that is made in 32 bits leads out of the memory, and ends the process.
"""

from __future__ import annotations

import mmap
import sys
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from tvtfast.kernels import (
    attention_block,
    attention_jvp,
    gram,
    indexed_uniform_,
    mlp_block,
    self_attention_stats,
    slice_norms,
)

FAR = 2**30 + 8
ELEMENTS = 2 * FAR + 2**26
ops = torch.ops.tvtfast

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is reserved as on Linux")


@pytest.fixture(scope="module")
def pool() -> Iterator[Tensor]:
    """fp16; pages that nobody writes to cost nothing."""
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0x4000)
    yield torch.frombuffer(mmap.mmap(-1, 2 * ELEMENTS, flags=flags), dtype=torch.float16)


def spread(pool: Tensor, values: Tensor, axis: int, far: int = FAR) -> Tensor:
    """The values in the pool, entries along one axis ``far`` elements apart."""
    others = values.select(axis, 0)
    strides = list(torch.empty(others.shape).stride())
    strides.insert(axis, far)
    view = torch.as_strided(pool, values.shape, strides)
    return view.copy_(values)


@pytest.mark.parametrize("adjacent", (True, False))
@pytest.mark.parametrize(
    ("axis", "size"), [(0, [3, 3]), (1, [3, 3]), (2, [3, 3]), (1, [2, 3]), (2, [2, 3])]
)
def test_features(pool: Tensor, axis: int, adjacent: bool, size: list[int]) -> None:
    """Images, rows, and columns or channels; also of features that are resized."""
    x = torch.randn(3 if axis == 0 else 1, 3, 3, 3).half()  # [B, H, W, C], or [B, C, H, W]
    far = spread(pool, x, axis)
    near, far = (t if adjacent else t.permute(0, 2, 3, 1) for t in (x, far))
    teacher = torch.rand(1, size[0] * size[1])
    results = []
    for one in (near, far):
        distance, values, norm = ops.attention_map_distance(one, teacher, size, backend="triton")
        arguments = (one, values, norm, values, size)
        gradient = ops.attention_map_backward(*arguments, backend="triton")
        several = ops.attention_map_distances([one], teacher, size, backend="triton")
        results.append((distance, values, norm, gradient, several))
    for expected, actual in zip(*results, strict=True):
        assert torch.equal(actual, expected)


@pytest.mark.parametrize("axis", (0, 1, 2))
def test_heads(pool: Tensor, axis: int) -> None:
    """Images, heads and tokens of queries, keys and values."""
    values = torch.randn(3, 3, 3, 8).half()
    far = spread(pool, values, axis)
    for actual, expected in zip(
        (*attention_jvp(*[far] * 6, backend="triton"), *_stats(far)),
        (*attention_jvp(*[values] * 6, backend="triton"), *_stats(values)),
        strict=True,
    ):
        assert torch.equal(actual, expected)


def _stats(x: Tensor) -> list[Tensor]:
    found = self_attention_stats(x, x, backend="triton")
    return [value for value in found if value is not None]


@pytest.mark.parametrize("axis", (0, 1))
@pytest.mark.parametrize("adjacent", (True, False))
def test_gram(pool: Tensor, axis: int, adjacent: bool) -> None:
    """Matrices, and rows or columns."""
    x = torch.randn(3, 3, 3).half()
    near, far = (t if adjacent else t.mT for t in (x, spread(pool, x, axis)))
    assert torch.equal(gram(far, backend="triton"), gram(near, backend="triton"))


@pytest.mark.parametrize("axis", (0, 1))
def test_slices(pool: Tensor, axis: int) -> None:
    weight = torch.randn(3, 3).half()
    sizes = [(3, 3), (2, 3), (3, 1)]
    actual = slice_norms(spread(pool, weight, axis), sizes, backend="triton")
    assert torch.equal(actual, slice_norms(weight, sizes, backend="triton"))


@pytest.mark.parametrize("axis", (0, 1, 2, 3))
def test_fills(pool: Tensor, axis: int) -> None:
    target = spread(pool, torch.zeros(3, 3, 3, 3).half(), axis)
    expected = torch.empty(3, 3, 3, 3).half()
    for tensor in (target, expected):
        indexed_uniform_(tensor, seed=1, name="w", backend="triton")
    assert torch.equal(target, expected)


@pytest.mark.parametrize("block", ("mlp", "attention"))
def test_blocks(pool: Tensor, block: str) -> None:
    """The first row of the third program lies 2^31 elements from that of the first."""
    x = torch.randn(260, 8).half()
    w, v = torch.randn(24, 8).half(), torch.randn(8, 8).half()
    calls: dict[str, Callable[[Tensor], Tensor]] = {
        "mlp": lambda rows: mlp_block(rows, w, None, w.t().contiguous(), None, backend="triton"),
        "attention": lambda rows: attention_block(
            rows.unflatten(0, (13, 20)), w, None, v, None, num_heads=1, backend="triton"
        ),
    }
    far = spread(pool, x, 0, 2**23)
    assert 256 * far.stride(0) == 2**31
    assert torch.equal(calls[block](far), calls[block](x))
