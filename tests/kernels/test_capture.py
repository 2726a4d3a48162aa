"""While a CUDA graph is captured, no operator copies a table from the host."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch._subclasses import FakeTensorMode

from tvtfast.kernels import pack_segments, pack_slices
from tvtfast.kernels.attention_map_distances import triton as attention_map_distances
from tvtfast.kernels.attention_map_distances.definition import Arguments as DistancesArguments
from tvtfast.kernels.backend import capture
from tvtfast.kernels.backend import cuda as cuda_backend
from tvtfast.kernels.backend import triton as triton_backend
from tvtfast.kernels.segment_norms import cuda as segment_norms_cuda
from tvtfast.kernels.segment_norms import triton as segment_norms
from tvtfast.kernels.segment_norms.definition import Arguments as SegmentArguments
from tvtfast.kernels.slice_norms import reference as slice_norms_reference
from tvtfast.kernels.slice_norms import triton as slice_norms
from tvtfast.kernels.slice_norms.definition import Prepared
from tvtfast.kernels.slice_norms.table import packed_key

Reasons = Callable[[], tuple[str, ...]]
CUDA = torch.device("cuda", 1)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Devices whose streams were asked about; only that of cuda:1 is captured."""
    devices: list[Any] = []

    def enter(device: Any) -> Any:
        devices.append(device)
        return nullcontext()

    monkeypatch.setattr(torch.cuda, "device", enter)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: devices[-1] == CUDA)
    for backend in (cuda_backend, triton_backend):
        monkeypatch.setattr(backend, "missing", lambda: ())
    monkeypatch.setattr(cuda_backend, "_device_reasons", lambda index: ())
    monkeypatch.setattr(triton_backend, "_capability", lambda index: (9, 0))
    return devices


def calls(device: torch.device) -> dict[str, Reasons]:
    """Calls of every operator that copies a table, of tensors that have no memory."""
    with FakeTensorMode():
        tensor, features = torch.empty(4, 4, device=device), torch.empty(1, 2, 2, 4, device=device)
        maps = torch.empty(1, 4, device=device)
    segments = pack_segments([torch.ones(4)])
    segments.__dict__["kinds"], segments.tensors = (tensor,), (tensor,)
    slices = pack_slices([(2, 2)])
    lists, distances = SegmentArguments([tensor]), DistancesArguments([features], maps, [2, 2])
    return {
        "segment_norms of a list, cuda": lambda: segment_norms_cuda.reasons(lists),
        "segment_norms of a list": lambda: segment_norms.reasons(lists),
        "segment_norms": lambda: segment_norms.reasons(SegmentArguments(segments)),
        "slice_norms": lambda: slice_norms.reasons(Prepared(tensor, slices)),
        "attention_map_distances": lambda: attention_map_distances.reasons(distances),
    }


@pytest.mark.parametrize("name", calls(CUDA))
def test_a_table_is_not_copied_into_a_captured_graph(asked: list[Any], name: str) -> None:
    (reason,) = calls(CUDA)[name]()
    assert "while a CUDA graph is captured (allowed: " in reason
    assert asked == [CUDA]
    assert calls(torch.device("cuda", 0))[name]() == ()


def test_a_table_that_is_there_is_used(asked: list[Any]) -> None:
    with FakeTensorMode():
        weight = torch.empty(4, 4, device=CUDA)
    segments, slices = pack_segments([torch.ones(4)]), pack_slices([(2, 2)])
    segments.__dict__["kinds"], segments.tensors = (weight,), (weight,)
    segments.packed[cuda_backend.NAME] = object()
    assert segment_norms_cuda.reasons(SegmentArguments(segments)) == ()
    assert segment_norms.reasons(SegmentArguments(segments)) != ()  # the other backend's is not
    segments.packed[triton_backend.NAME] = object()
    assert segment_norms.reasons(SegmentArguments(segments)) == ()
    slices.packed[packed_key(triton_backend.NAME, torch.device("cuda", 0))] = object()
    assert slice_norms.reasons(Prepared(weight, slices)) != ()
    slices.packed[packed_key(triton_backend.NAME, CUDA)] = object()
    assert slice_norms.reasons(Prepared(weight, slices)) == ()


def test_the_reference_says_so(asked: list[Any]) -> None:
    """It serves whatever the others decline, and copies sizes."""
    with FakeTensorMode():
        weight = torch.empty(4, 4, device=CUDA)
    with pytest.raises(RuntimeError, match="slice_norms: .*captured.*pack_slices used once"):
        slice_norms_reference.run(Prepared(weight, pack_slices([(2, 2)])))


def test_the_cpu_is_asked_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device", None)
    assert capture.copy_reasons(torch.device("cpu"), "anything") == ()
