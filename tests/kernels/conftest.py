"""Fixtures of the operator tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from tvtfast import kernels
from tvtfast.kernels.backend.native import INSTRUCTION_SETS, instruction_sets, missing
from tvtfast.kernels.backend.triton import INTERPRETER_VARIABLE


@pytest.fixture(params=["reference", "native"])
def backend(request: pytest.FixtureRequest) -> str:
    """Name of every backend that runs on this machine."""
    name: str = request.param
    if name == "native" and missing():
        pytest.skip(missing()[0])
    assert name in kernels.backends()
    return name


@pytest.fixture
def native() -> str:
    """The native backend, or a skip with the reason why it is missing."""
    if missing():
        pytest.skip(missing()[0])
    return "native"


@pytest.fixture(params=INSTRUCTION_SETS)
def instruction_set(request: pytest.FixtureRequest, native: str) -> str:
    """Every kernel in vectors that this CPU runs, not only the one that it prefers."""
    name: str = request.param
    if name not in instruction_sets():
        pytest.skip(f"this CPU has no {name}")
    return name


@pytest.fixture
def threads() -> Iterator[None]:
    """Restore the number of threads after the test."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def no_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep Triton off the CPU here, whatever the environment of the session."""
    monkeypatch.delenv(INTERPRETER_VARIABLE, raising=False)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def no_amx(monkeypatch: pytest.MonkeyPatch) -> None:
    """Test the products of bf16 on CPUs, too, on which PyTorch's are preferred."""
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: False)
