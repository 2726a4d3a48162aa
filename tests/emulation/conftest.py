"""CUDA C++ executed on the CPU: the extension is compiled by g++ and serves ``backend="cuda"``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from .building import build, missing
from .serving import GUARD, Emulation, check_canaries, poison, serve

SANITIZER = os.environ.get("TVTFAST_EMULATION_SANITIZER", "none")
LIBRARY = os.environ.get("TVTFAST_EMULATION_LIBRARY")
"""Both are set for the processes that ``test_sanitizers.py`` starts."""
# AddressSanitizer guards memory itself, and closer.
GUARD_OF_THIS_PROCESS = 0 if SANITIZER == "address" else GUARD


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Faults are planted in those processes alone."""
    return True if collection_path.name == "test_planted.py" and LIBRARY is None else None


@pytest.fixture(scope="module")
def emulation() -> Iterator[Emulation]:
    """The emulated device, or a skip with the reason why there is none."""
    if missing():
        pytest.skip(f"CUDA C++ is not emulated: {missing()}")
    with pytest.MonkeyPatch.context() as patch:
        yield serve(patch, Path(LIBRARY) if LIBRARY else build())


class Schedule(NamedTuple):
    """What decides how a launch runs: the seed of all orders, and what the device claims to be."""

    seed: int
    processors: int


SCHEDULES = (
    Schedule(seed=1, processors=2),
    pytest.param(Schedule(seed=2, processors=1), marks=pytest.mark.slow),
    pytest.param(Schedule(seed=3, processors=16), marks=pytest.mark.slow),
)


@pytest.fixture(params=SCHEDULES, ids="seed{0.seed}".format)
def schedule(request: pytest.FixtureRequest) -> Schedule:
    """Random orders of threads and blocks."""
    return request.param


@pytest.fixture
def device(schedule: Schedule, emulation: Emulation) -> Iterator[str]:
    """The CPU, with memory that is poisoned and guarded."""
    emulation.configure(*schedule)
    with pytest.MonkeyPatch.context() as patch:
        buffers = poison(patch, GUARD_OF_THIS_PROCESS)
        yield "cpu"
    check_canaries(buffers, GUARD_OF_THIS_PROCESS)


@pytest.fixture
def many(schedule: Schedule) -> int:
    """Images that fill the device: kernels share an image below four blocks a multiprocessor."""
    return 4 * schedule.processors
