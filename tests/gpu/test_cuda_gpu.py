"""The CUDA backend on a device, against fp64 and the CPU."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor

from tvtfast.kernels import (
    attention_map,
    attention_map_distance,
    attention_map_distances,
    dispatch,
    indexed_normal_,
    indexed_uniform_,
    pack_segments,
    segment_norms,
    use_backend,
)
from tvtfast.kernels.attention_map_distances import triton as ragged_triton
from tvtfast.kernels.backend import cuda as _extension
from tvtfast.kernels.backend import triton as capability
from tvtfast.kernels.dispatch import OPERATORS

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
    pytest.mark.skipif(bool(_extension.missing()), reason="; ".join(_extension.missing())),
]

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
LOSS_SCALE = 2.0**10
"""Gradients of means over many channels are below 2^-14, where fp16 has fewer digits than the
tolerance counts on; a power of two changes nothing else."""


def _operators() -> ModuleType:
    path = Path(__file__).with_name("operators.py")
    spec = importlib.util.spec_from_file_location("tvtfast_gpu_operators", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


operators = _operators()


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
    dtype: torch.dtype, channels: int, size: tuple[int, int] | None
) -> None:
    extent = 8 if size else 0
    positions = size[0] * size[1] if size else 40
    teacher = torch.nn.functional.normalize(torch.rand(3, positions, device="cuda"))
    for layout, features in operators.feature_layouts(dtype, channels):
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


@pytest.mark.parametrize("shape", [(1, 8, 64, 80), (1, 640, 16, 16), (2, 64, 256, 256)])
@pytest.mark.parametrize("memory_format", (torch.contiguous_format, torch.channels_last))
def test_one_block_or_several(
    shape: tuple[int, int, int, int], memory_format: torch.memory_format
) -> None:
    """Alone, an image is shared by blocks; among many it is one block's, with the same bits."""
    features = torch.randn(shape, device="cuda").contiguous(memory_format=memory_format)
    alone = attention_map(features[:1], backend="cuda")
    many = features[:1].expand(2000, -1, -1, -1)
    assert torch.equal(attention_map(many, backend="cuda"), alone.expand(2000, -1))


@pytest.mark.parametrize("size", (None, (4, 4)))
def test_special_values(size: tuple[int, int] | None) -> None:
    features = torch.randn(4, 4, 3, 3, device="cuda")
    features[1, 2, 0, 0] = torch.nan
    features[2] = 0
    features[3] *= 1e18
    values = attention_map(features, size=size, backend="cuda")
    assert values[1].isnan().all() and not values[[0, 2, 3]].isnan().any()
    assert not values[2].any()
    torch.testing.assert_close(values[3].norm(), values.new_ones(()))
    assert attention_map(features[:0], size=size, backend="cuda").shape[0] == 0


def test_segment_norms_against_fp64() -> None:
    tensors = operators.segments()
    norms = segment_norms(tensors, backend="cuda")
    exact = torch.stack([tensor.double().square().sum().sqrt() for tensor in tensors])
    bound = OPERATORS["segment_norms"].tolerance(torch.float32, 20_011)
    assert norms.dtype == torch.float32
    assert ((norms - exact).abs() <= bound * exact).all()
    assert torch.equal(segment_norms(pack_segments(tensors), backend="cuda"), norms)


def test_segment_norms_do_not_overflow() -> None:
    tensors = [torch.full((5000,), 1e20, device="cuda"), torch.empty(0, device="cuda")]
    norms = segment_norms(tensors, backend="cuda")
    torch.testing.assert_close(norms.cpu(), torch.tensor([1e20 * 5000**0.5, 0.0]))
    assert segment_norms(tensors[1:], backend="cuda").tolist() == [0]


@pytest.mark.parametrize("dtype", (*DTYPES, torch.float64))
@pytest.mark.parametrize("shape", ((), (1,), (7,), (33, 129), (64, 3, 16, 16), (0, 5), (999, 1001)))
def test_indexed_numbers_have_the_bits_of_the_cpu(
    dtype: torch.dtype, shape: tuple[int, ...]
) -> None:
    for fill, limits in (
        (indexed_normal_, {"mean": 0.3, "std": 0.7}),
        (indexed_uniform_, {"low": -0.1, "high": 0.6}),
    ):
        target = torch.full(shape, torch.nan, device="cuda").to(dtype)
        fill(target, seed=9, name="b", backend="cuda", **limits)
        assert torch.equal(
            target.cpu(), fill(torch.empty(shape, dtype=dtype), seed=9, name="b", **limits)
        )


def test_distances_have_the_bits_of_the_dense_form() -> None:
    teacher = torch.rand(3, 40, device="cuda")
    xs = [x for width in (1, 24, 200) for _, x in operators.feature_layouts(torch.float16, width)]
    expected = [attention_map_distance(x, teacher, backend="cuda") for x in xs]
    actual = attention_map_distances(xs, teacher, backend="cuda")
    assert torch.equal(actual, torch.stack(expected))


def test_every_call_repeats_bit_for_bit() -> None:
    for name, call in operators.calls():
        torch.manual_seed(1)
        first = call()
        torch.manual_seed(1)
        second = call()
        assert torch.equal(first, second), name


def test_side_stream() -> None:
    """Work is queued behind what the current stream already holds."""
    table = pack_segments([torch.zeros(1 << 20, device="cuda")])
    x = torch.zeros(4, 64, 32, 32, device="cuda")
    segment_norms(table, backend="cuda")
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(50_000_000)
        table.tensors[0].fill_(1)
        x.fill_(1)
        norms = segment_norms(table, backend="cuda")
        values = attention_map(x, backend="cuda")
        drawn = indexed_normal_(torch.zeros(64, device="cuda"), seed=0, name="s", backend="cuda")
    stream.synchronize()
    assert norms.item() == 1024
    torch.testing.assert_close(values, torch.full_like(values, 1 / 32))
    assert torch.equal(drawn.cpu(), indexed_normal_(torch.empty(64), seed=0, name="s"))


def test_graph_capture() -> None:
    x = torch.randn(2, 64, 14, 14, device="cuda")
    teacher = torch.rand(196, device="cuda")
    table = pack_segments([x, teacher])
    drawn = torch.empty(33, device="cuda")

    def step() -> tuple[Tensor, ...]:
        indexed_uniform_(drawn, seed=3, name="g", backend="cuda")
        distance = attention_map_distance(x, teacher, backend="cuda")
        distances = attention_map_distances([x, x[:, :24]], teacher, backend="cuda")
        return distance, distances, segment_norms(table, backend="cuda"), drawn

    step()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step()
    x.copy_(torch.randn_like(x))
    drawn.zero_()
    graph.replay()
    replayed = [value.clone() for value in captured]
    for value, expected in zip(replayed, step(), strict=True):
        assert torch.equal(value, expected)


def test_lists_are_not_captured() -> None:
    """A table copied inside a capture would be copied again, from memory long gone."""
    tensors = [torch.ones(4, device="cuda")]
    x, teacher = torch.ones(1, 2, 2, 4, device="cuda"), torch.ones(1, 4, device="cuda")
    with torch.cuda.graph(torch.cuda.CUDAGraph()):
        reasons = dispatch.IMPLEMENTATIONS["segment_norms"][0].reasons(tensors)
        ragged = ragged_triton.reasons(ragged_triton.Arguments([x], teacher, [2, 2]))
    assert len(reasons) == 1 and "CUDA graph" in reasons[0]
    assert capability.missing() or (len(ragged) == 1 and "CUDA graph" in ragged[0])


@pytest.mark.parametrize("layout", ("tokens", "planes"))
def test_offsets_beyond_2_31(layout: str) -> None:
    """Only the last image is looked at: its elements lie beyond 2^31."""
    images, positions, channels = 2800, 1024, 768
    if torch.cuda.mem_get_info()[0] < 12 * 2**30:
        pytest.skip("needs 12 GiB of device memory")
    pool = torch.zeros(images * positions * channels, dtype=torch.bfloat16, device="cuda")
    assert pool.numel() > 2**31
    last = torch.randn(1, channels, 32, 32, device="cuda", dtype=torch.bfloat16)
    if layout == "tokens":
        x = pool.view(images, 32, 32, channels).permute(0, 3, 1, 2)
    else:
        x = pool.view(images, channels, 32, 32)
    x[-1] = last[0]
    x.requires_grad_()
    values = attention_map(x, backend="cuda")
    expected = attention_map(last.double(), backend="reference")
    bound = OPERATORS["attention_map"].tolerance(torch.bfloat16, channels)
    assert (values[-1] - expected).abs().max() <= bound * expected.max()
    (gradient,) = torch.autograd.grad(values[-1, 5], x)
    assert gradient[-1].any() and not gradient[:-1].any()
    norms = segment_norms([pool], backend="cuda")
    torch.testing.assert_close(norms[0].double(), last.double().norm(), rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: attention_map(x, backend="cuda"),
        lambda x: segment_norms([x], backend="cuda"),
    ],
)
def test_fp64_is_declined_by_name(call: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(RuntimeError, match="float64.*allowed: float32"):
        call(torch.ones(1, 2, 3, 3, dtype=torch.float64, device="cuda"))
