"""The CUDA backend on a device: the shared cases, streams, graphs and large offsets."""

from __future__ import annotations

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
)
from tvtfast.kernels.attention_map_distances import triton as ragged_triton
from tvtfast.kernels.backend import cuda as _extension
from tvtfast.kernels.backend import triton as capability
from tvtfast.kernels.dispatch import OPERATORS

from . import operators
from .cuda_cases import *  # noqa: F403
from .cuda_cases import assert_repeats

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
    pytest.mark.skipif(bool(_extension.missing()), reason="; ".join(_extension.missing())),
]


@pytest.fixture
def device() -> str:
    return "cuda"


@pytest.fixture
def many() -> int:
    return 2000


def test_every_triton_call_repeats_bit_for_bit() -> None:
    assert_repeats(operators.triton_calls())


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
