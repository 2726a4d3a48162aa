"""The kernels for AMX on any CPU: their sources, compiled with tiles in software."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from ..emulation.building import missing
from .building import build
from .serving import Tiles, serve

LIBRARY = os.environ.get("TVTFAST_AMX_LIBRARY")
"""Set for the processes that ``test_sanitizers.py`` starts."""


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Faults are planted in those processes alone."""
    return True if collection_path.name == "test_planted.py" and LIBRARY is None else None


@pytest.fixture(scope="module")
def emulation() -> Iterator[Tiles]:
    """The tiles, or a skip with the reason why there are none."""
    if missing():
        pytest.skip(f"AMX is not emulated: {missing()}")
    with pytest.MonkeyPatch.context() as patch:
        yield serve(patch, Path(LIBRARY) if LIBRARY else build())


@pytest.fixture
def tiles(emulation: Tiles) -> Iterator[Tiles]:
    """Tiles that must be used as a CPU allows, and be released."""
    torch.manual_seed(0)
    emulation.products()
    yield emulation
    emulation.check()
