"""The emulation itself: what it lets pass, what it refuses, and what it says."""

from __future__ import annotations

import ctypes

import pytest
import torch

from . import building
from .building import HERE, link, missing
from .rewriting import rewrite

LAUNCH_FAILURE = 719
INVALID_CONFIGURATION = 9
INVALID_VALUE = 1


@pytest.fixture(scope="module")
def probes() -> ctypes.CDLL:
    """``probes.cu``, with a message of the last error."""
    if missing():
        pytest.skip(f"CUDA C++ is not emulated: {missing()}")
    unit = rewrite((HERE / "probes.cu").read_text())
    library = ctypes.CDLL(str(link({"probes.cpp": unit}, {}, "none")))
    library.message.restype = ctypes.c_char_p
    library.emulated_configure.argtypes = (ctypes.c_uint64, ctypes.c_int, ctypes.c_int)
    library.emulated_configure(1, 1, -1)
    return library


def order(probes: ctypes.CDLL, seed: int, blocks: int) -> list[int]:
    probes.emulated_configure(seed, 1, -1)
    numbers = (ctypes.c_int * (64 * blocks))()
    assert probes.order(numbers, ctypes.byref(ctypes.c_int()), blocks) == 0
    return list(numbers)


def test_the_order_of_threads_and_blocks_is_that_of_the_seed(probes: ctypes.CDLL) -> None:
    orders = {seed: order(probes, seed, 4) for seed in range(8)}
    assert all(sorted(numbers) == list(range(256)) for numbers in orders.values())
    assert order(probes, 3, 4) == orders[3]
    assert len({tuple(numbers) for numbers in orders.values()}) == 8
    assert len({tuple(n // 64 for n in numbers[::64]) for numbers in orders.values()}) > 1


def test_a_barrier_orders_the_threads_of_a_block(probes: ctypes.CDLL) -> None:
    expected = (torch.arange(64) + 1).remainder(64).float()
    for seed in range(8):
        probes.emulated_configure(seed, 1, -1)
        out = torch.empty(64)
        assert probes.neighbour(ctypes.c_void_p(out.data_ptr()), True) == 0
        assert torch.equal(out, expected)
        assert probes.neighbour(ctypes.c_void_p(out.data_ptr()), False) == 0
        assert out.isnan().any()  # nothing was there before


def test_threads_that_never_meet_are_reported(probes: ctypes.CDLL) -> None:
    assert probes.divergent() == LAUNCH_FAILURE
    said = b"32 threads wait for ever at __syncthreads and 31 in shuffles of a warp"
    assert probes.message() == said
    assert order(probes, 1, 1)  # the next launch runs


def test_shared_memory_has_its_size(probes: ctypes.CDLL) -> None:
    assert probes.overrun(8, 7) == 0
    assert probes.overrun(8, 8) == LAUNCH_FAILURE
    assert probes.message() == b"a write behind 64 bytes of shared memory"
    assert probes.large(False) == 0
    assert probes.large(True) == INVALID_VALUE
    assert probes.message() == b"49153 bytes of shared memory in a block"


@pytest.mark.parametrize(("blocks", "threads"), [(65_536, 32), (0, 32), (1, 0), (1, 1025)])
def test_grids_beyond_the_limits_are_refused(
    probes: ctypes.CDLL, blocks: int, threads: int
) -> None:
    assert probes.grid(blocks, threads) == INVALID_CONFIGURATION


def test_the_emulation_is_small_enough_to_be_read() -> None:
    files = [*(HERE / "include").iterdir(), HERE / "scheduler.cpp", HERE / "rewriting.py"]
    lines = [line.strip() for path in files for line in path.read_text().splitlines()]
    assert len([line for line in lines if line and not line.startswith("//")]) < 350


@pytest.mark.parametrize(
    "source",
    ["__shared__ float a[2], b[2];", "__shared__ struct { int x; } s;", "f<<<1, 2>>>"],
)
def test_what_is_not_read_is_refused(source: str) -> None:
    with pytest.raises(ValueError, match="does not read"):
        rewrite(source)


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building.shutil, "which", lambda name: None)
    monkeypatch.setattr(building.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(building.platform, "system", lambda: "Linux")
    assert missing() == "g++ is not on PATH"
    monkeypatch.setattr(building.platform, "machine", lambda: "aarch64")
    assert missing() == "fibers are switched by code for x86-64 Linux"
