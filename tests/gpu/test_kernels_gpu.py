"""What holds for every Triton kernel on a real device: bits, streams, captured graphs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tvtfast.kernels import (
    attention_block,
    attention_map,
    attention_map_distance,
    attention_map_distances,
    gram,
    indexed_normal_,
    mlp_block,
    pack_segments,
    pack_slices,
    relation_rkd_angle,
    segment_norms,
    self_attention_stats,
    slice_norms,
)

from .tensors import attention_operands, queries_and_keys, random

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("triton_device")]


def calls() -> dict[str, Callable[[], Tensor]]:
    """Calls whose inputs exist already and stay where they are."""
    x, teacher = random(64, 1 + 196, 216).bfloat16(), random(64, 196)
    student = random(64, 65, 216)
    xs = [random(64, 1 + 196, channels).bfloat16() for channels in (192, 216, 240)]
    table = pack_segments([random(n) for n in (100_000, 5, 0, 33_333)])
    segment_norms(table, backend="triton")
    weight, slices = random(640, 443), pack_slices(torch.randint(443, (5000, 2)))
    slice_norms(weight, slices, backend="triton")
    target = torch.empty(640, 216, device="cuda")
    q, k = queries_and_keys(8, 3, 197, 64, torch.bfloat16)
    tokens, w1, w2 = (random(*n).bfloat16() for n in ((1000, 216), (864, 216), (216, 864)))
    halves = attention_operands((8, 197, 216), 4 * 54, torch.bfloat16)
    values, norm = torch.ops.tvtfast.attention_map(student[:, 1:].unflatten(1, (8, 8)), [14, 14])
    samples, others = x[:, 1:].flatten(1), random(64, 64 * 196).bfloat16()
    return {
        "map": lambda: attention_map(x, prefix_tokens=1, grid=(14, 14), backend="triton"),
        "distance": lambda: attention_map_distance(
            student, teacher, size=(14, 14), prefix_tokens=1, grid=(8, 8), backend="triton"
        ),
        "distances": lambda: attention_map_distances(
            xs, teacher, prefix_tokens=1, grid=(14, 14), backend="triton"
        ),
        "backward": lambda: torch.ops.tvtfast.attention_map_backward(
            student[:, 1:].unflatten(1, (8, 8)), values, norm, teacher, [14, 14], backend="triton"
        ),
        "segments": lambda: segment_norms(table, backend="triton"),
        "slices": lambda: slice_norms(weight, slices, backend="triton"),
        "normal": lambda: indexed_normal_(target, seed=1, name="w", backend="triton").clone(),
        "block": lambda: mlp_block(tokens, w1, None, w2, None, hidden=(756, 864), backend="triton"),
        "attention block": lambda: attention_block(*halves, num_heads=4, backend="triton"),
        "attention": lambda: torch.stack(self_attention_stats(q, k, backend="triton")[:3]),
        "gram": lambda: gram(samples, backend="triton"),
        "angles": lambda: relation_rkd_angle(samples, others, backend="triton"),
    }


CAPTURED = (
    "map",
    "distance",
    "backward",
    "segments",
    "slices",
    "normal",
    "block",
    "attention block",
    "attention",
    "gram",
    "angles",
)
CALLS = (*CAPTURED, "distances")


@pytest.mark.parametrize("name", CALLS)
def test_runs_have_the_same_bits(name: str) -> None:
    call = calls()[name]
    first = call()
    assert all(torch.equal(call(), first) for _ in range(5))


@pytest.mark.parametrize("name", CALLS)
def test_side_stream(name: str) -> None:
    call = calls()[name]
    expected = call()
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(10_000_000)
        actual = call()
        same = torch.equal(actual, expected)
    assert same


@pytest.mark.parametrize("name", CAPTURED)
def test_graph_capture(name: str) -> None:
    call = calls()[name]
    expected = call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = call()
    captured.zero_()
    graph.replay()
    torch.cuda.synchronize()
    assert torch.equal(captured, expected)
