"""Kernels in Triton's interpreter: CPU tensors, no GPU.

The interpreter is chosen when triton is imported, for the whole process. These tests therefore run
under ``TRITON_INTERPRET=1``, in processes of their own: ``tests/kernels/test_triton.py`` starts
them, so a plain ``pytest`` covers them and does not collect them a second time.
``pytest tests/triton`` interprets by itself.

The interpreter computes bf16 on raw bits and truncates bf16 stores; kernels convert to fp32 right
after every load, so bf16 inputs are tested and bf16 outputs are left to the GPU tests.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from tvtfast.kernels.backend import triton as capability

GUARD = 64
CANARY = 123.0


def pytest_ignore_collect() -> bool | None:
    """Not a second time, as skips, beside the runs of ``tests/kernels/test_triton.py``."""
    return None if capability.interpreting() else True


def _unfit() -> str | None:
    if not capability.interpreting():
        variable = capability.INTERPRETER_VARIABLE
        return f"needs {variable}=1 before triton is imported: {variable}=1 pytest tests/triton"
    if capability.missing():
        return capability.missing()[0]
    numpy, triton = (
        tuple(map(int, importlib.metadata.version(name).split(".")[:2]))
        for name in ("numpy", "triton")
    )
    if numpy >= (2, 4) and triton < (3, 7):
        return "the interpreter of triton 3.6 fails on run-time loops with numpy 2.4 and above"
    return None


@pytest.fixture(autouse=True)
def interpreter() -> None:
    reason = _unfit()
    if reason:
        pytest.skip(reason)
    torch.manual_seed(0)


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every ``torch.empty`` is full of NaN and lies between canaries, which must survive."""
    buffers: list[Tensor] = []

    def empty(*size: object, **options: object) -> Tensor:
        shape = torch.Size(size[0] if len(size) == 1 and not isinstance(size[0], int) else size)
        buffer = torch.full((shape.numel() + 2 * GUARD,), CANARY, **options)
        buffers.append(buffer)
        return buffer[GUARD:-GUARD].fill_(torch.nan).view(shape)

    monkeypatch.setattr(torch, "empty", empty)
    yield
    monkeypatch.undo()
    assert buffers
    for buffer in buffers:
        assert (buffer[:GUARD] == CANARY).all() and (buffer[-GUARD:] == CANARY).all()
