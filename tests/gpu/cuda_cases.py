"""Cases of CUDA C++ against fp64 and the CPU; ``tests/emulation`` runs them without a device.

Whoever imports these tests gives two fixtures: ``device``, and ``many``, a number of images that
alone fill it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
import torch
from torch import Tensor

from tvtfast.kernels import (
    attention_map,
    attention_map_distance,
    attention_map_distances,
    indexed_normal_,
    indexed_uniform_,
    pack_segments,
    segment_norms,
    use_backend,
)
from tvtfast.kernels.dispatch import OPERATORS

from . import operators

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
LOSS_SCALE = 2.0**10
"""Gradients of means over many channels are below 2^-14, where fp16 has fewer digits than the
tolerance counts on; a power of two changes nothing else."""


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def oracle(x: Tensor, size: tuple[int, int] | None, teacher: Tensor) -> tuple[Tensor, ...]:
    """Map, distance and gradient of the features in fp64."""
    exact = x.detach().double().requires_grad_()
    with use_backend("reference"):
        values = attention_map(exact, size=size)
        distance = attention_map_distance(exact, teacher.double(), size=size)
    (gradient,) = torch.autograd.grad(LOSS_SCALE * distance.sum(), exact)
    return values.detach(), distance.detach(), gradient


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", (1, 7, 24, 192, 520))
@pytest.mark.parametrize("size", (None, (7, 9), (3, 2), (20, 5)))
def test_attention_map_against_fp64(
    device: str, dtype: torch.dtype, channels: int, size: tuple[int, int] | None
) -> None:
    extent = 8 if size else 0
    positions = size[0] * size[1] if size else 40
    teacher = torch.nn.functional.normalize(torch.rand(3, positions, device=device))
    for layout, features in operators.feature_layouts(dtype, channels, device):
        x = features.detach().requires_grad_()
        values = attention_map(x, size=size, backend="cuda")
        distance = attention_map_distance(x, teacher, size=size, backend="cuda")
        (gradient,) = torch.autograd.grad(LOSS_SCALE * distance.sum(), x)
        exact_map, exact_distance, exact_gradient = oracle(features, size, teacher)

        bound = OPERATORS["attention_map"].tolerance(dtype, channels, extent)
        error = (values - exact_map).abs().amax(1)
        assert (error <= bound * exact_map.amax(1)).all(), layout
        bound = OPERATORS["attention_map_distance"].tolerance(dtype, channels, extent)
        assert ((distance - exact_distance).abs() <= bound / positions).all(), layout
        bound = OPERATORS["attention_map_backward"].tolerance(dtype, channels, extent)
        scale = exact_gradient.abs().amax((1, 2, 3), keepdim=True)
        assert ((gradient - exact_gradient).abs() <= bound * scale).all(), layout
        assert gradient.dtype == dtype


@pytest.mark.parametrize("shape", [(1, 8, 64, 80), (1, 640, 16, 16), (1, 64, 256, 256)])
@pytest.mark.parametrize("memory_format", (torch.contiguous_format, torch.channels_last))
def test_one_block_or_several(
    device: str,
    many: int,
    shape: tuple[int, int, int, int],
    memory_format: torch.memory_format,
) -> None:
    """Alone, an image is shared by blocks; among many it is one block's, with the same bits."""
    features = torch.randn(shape, device=device).contiguous(memory_format=memory_format)
    alone = attention_map(features, backend="cuda")
    together = attention_map(features.expand(many, -1, -1, -1), backend="cuda")
    assert torch.equal(together, alone.expand(many, -1))


@pytest.mark.parametrize("size", (None, (9, 7)))
@pytest.mark.parametrize("memory_format", (torch.contiguous_format, torch.channels_last))
def test_blocks_of_several_tiles(
    device: str, many: int, memory_format: torch.memory_format, size: tuple[int, int] | None
) -> None:
    """Among many images a block takes all tiles of one, and uses its shared memory again."""
    features = torch.randn(many, 8, 12, 20, device=device).contiguous(memory_format=memory_format)
    x = features.requires_grad_()
    values = attention_map(x, size=size, backend="cuda")
    (gradient,) = torch.autograd.grad((values * values.detach().sqrt()).sum(), x)
    exact = features.detach().double().requires_grad_()
    expected = attention_map(exact, size=size, backend="reference")
    weights = values.detach().double().sqrt()
    (exact_gradient,) = torch.autograd.grad((expected * weights).sum(), exact)

    extent = 20 if size else 0
    bound = OPERATORS["attention_map"].tolerance(torch.float32, 8, extent)
    assert ((values - expected).abs() <= bound * expected.amax(1, keepdim=True)).all()
    bound = OPERATORS["attention_map_backward"].tolerance(torch.float32, 8, extent)
    scale = exact_gradient.abs().amax((1, 2, 3), keepdim=True)
    assert ((gradient - exact_gradient).abs() <= bound * scale).all()


@pytest.mark.parametrize("size", (None, (4, 4)))
def test_special_values(device: str, size: tuple[int, int] | None) -> None:
    features = torch.randn(4, 4, 3, 3, device=device)
    features[1, 2, 0, 0] = torch.nan
    features[2] = 0
    features[3] *= 1e18
    values = attention_map(features, size=size, backend="cuda")
    assert values[1].isnan().all() and not values[[0, 2, 3]].isnan().any()
    assert not values[2].any()
    torch.testing.assert_close(values[3].norm(), values.new_ones(()))
    assert attention_map(features[:0], size=size, backend="cuda").shape[0] == 0


def test_segment_norms_against_fp64(device: str) -> None:
    tensors = operators.segments(device)
    norms = segment_norms(tensors, backend="cuda")
    exact = torch.stack([tensor.double().square().sum().sqrt() for tensor in tensors])
    bound = OPERATORS["segment_norms"].tolerance(torch.float32, operators.LONGEST_SEGMENT)
    assert norms.dtype == torch.float32
    assert ((norms - exact).abs() <= bound * exact).all()
    assert torch.equal(segment_norms(pack_segments(tensors), backend="cuda"), norms)


def test_segment_norms_do_not_overflow(device: str) -> None:
    tensors = [torch.full((5000,), 1e20, device=device), torch.empty(0, device=device)]
    norms = segment_norms(tensors, backend="cuda")
    torch.testing.assert_close(norms.cpu(), torch.tensor([1e20 * 5000**0.5, 0.0]))
    assert segment_norms(tensors[1:], backend="cuda").tolist() == [0]


@pytest.mark.parametrize("dtype", (*DTYPES, torch.float64))
@pytest.mark.parametrize("shape", ((), (1,), (7,), (33, 129), (64, 3, 16, 16), (0, 5), (999, 1001)))
def test_indexed_numbers_have_the_bits_of_the_cpu(
    device: str, dtype: torch.dtype, shape: tuple[int, ...]
) -> None:
    for fill, limits in (
        (indexed_normal_, {"mean": 0.3, "std": 0.7}),
        (indexed_uniform_, {"low": -0.1, "high": 0.6}),
    ):
        target = torch.full(shape, torch.nan, device=device).to(dtype)
        fill(target, seed=9, name="b", backend="cuda", **limits)
        assert torch.equal(
            target.cpu(),
            fill(torch.empty(shape, dtype=dtype), seed=9, name="b", backend="reference", **limits),
        )


def test_distances_have_the_bits_of_the_dense_form(device: str) -> None:
    teacher = torch.rand(3, 40, device=device)
    xs = [
        x
        for width in (1, 24, 200)
        for _, x in operators.feature_layouts(torch.float16, width, device)
    ]
    expected = [attention_map_distance(x, teacher, backend="cuda") for x in xs]
    actual = attention_map_distances(xs, teacher, backend="cuda")
    assert torch.equal(actual, torch.stack(expected))


def test_every_call_repeats_bit_for_bit(device: str) -> None:
    assert_repeats(operators.calls(device))


def assert_repeats(calls: Iterable[tuple[str, Callable[[], object]]]) -> None:
    """Every call has the same bits a second time."""
    for name, call in calls:
        torch.manual_seed(1)
        first = call()
        torch.manual_seed(1)
        second = call()
        assert torch.equal(first, second), name


@pytest.mark.parametrize(
    "call",
    [
        lambda x: attention_map(x, backend="cuda"),
        lambda x: segment_norms([x], backend="cuda"),
    ],
)
def test_fp64_is_declined_by_name(device: str, call: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(RuntimeError, match="float64.*allowed: float32"):
        call(torch.ones(1, 2, 3, 3, dtype=torch.float64, device=device))
