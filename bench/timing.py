"""How long calls take: until they return, until they are done, and on the device."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch

Call = Callable[[], object]
LEAST_ROUNDS = 5


@dataclass(frozen=True)
class Times:
    """Medians over rounds, in seconds.

    Attributes:
        wall: Until the result is there.
        host: Until the call returns, without waiting for the device.
        device: Work on the device, without gaps; None on the CPU.
        peak: Bytes of device memory allocated during a call; None on the CPU.
    """

    wall: float
    host: float
    device: float | None = None
    peak: int | None = None

    @property
    def work(self) -> float:
        """Time that bytes and operations are counted over."""
        return self.wall if self.device is None else self.device


class Timer(Protocol):
    def __call__(self, call: Call, cold: bool) -> Times:
        """Time one call; ``cold``: with no data in the caches of a device."""
        ...


class CpuTimer:
    """Times calls that are done when they return."""

    def __call__(self, call: Call, cold: bool) -> Times:
        begin = time.perf_counter()
        call()
        wall = time.perf_counter() - begin
        return Times(wall, wall)


class CudaTimer:
    """Times a call twice: once as a program would see it, once as the device does.

    Events around a short call would time the host that launches it. So the second time the device
    sleeps first, as long as the host needs to queue the whole call behind.

    Args:
        cuda: ``torch.cuda``, or what stands in for it.
        scratch: A buffer larger than the cache of the device; writing it flushes the cache.
    """

    CYCLES_PER_SECOND = 2e9
    LONGEST_SLEEP = 0.02

    def __init__(self, cuda: Any = torch.cuda, scratch: Any = None) -> None:
        self.cuda = cuda
        self.scratch = (
            torch.empty(2**28, dtype=torch.int8, device="cuda") if scratch is None else scratch
        )

    def __call__(self, call: Call, cold: bool) -> Times:
        self._prepare(cold)
        self.cuda.synchronize()
        self.cuda.reset_peak_memory_stats()
        allocated = self.cuda.memory_allocated()
        start = time.perf_counter()
        call()
        host = time.perf_counter() - start
        self.cuda.synchronize()
        wall = time.perf_counter() - start
        peak = self.cuda.max_memory_allocated() - allocated
        return Times(wall, host, self._device(call, cold, host), peak)

    def _device(self, call: Call, cold: bool, host: float) -> float:
        begin, end = (self.cuda.Event(enable_timing=True) for _ in range(2))
        self._prepare(cold)
        self.cuda._sleep(int(min(2 * host, self.LONGEST_SLEEP) * self.CYCLES_PER_SECOND))
        begin.record()
        call()
        end.record()
        self.cuda.synchronize()
        return float(begin.elapsed_time(end)) / 1e3

    def _prepare(self, cold: bool) -> None:
        if cold:
            self.scratch.zero_()


def timer(device: str) -> Timer:
    return CudaTimer() if device == "cuda" else CpuTimer()


def measure(
    calls: Mapping[str, Call], timer: Timer, cold: bool, seconds: float
) -> dict[str, Times]:
    """Median times of each call, from rounds in random order.

    What a call finds in the caches depends on the one before it.
    """
    times: dict[str, list[Times]] = {name: [] for name in calls}
    order, shuffle = list(calls.items()), random.Random(0).shuffle
    for call in calls.values():
        call()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(next(iter(times.values()))) < LEAST_ROUNDS:
        shuffle(order)
        for name, call in order:
            times[name].append(timer(call, cold))
    return {name: median(values) for name, values in times.items()}


def median(times: list[Times]) -> Times:
    """Median of every field on its own."""
    devices = [value.device for value in times if value.device is not None]
    peaks = [value.peak for value in times if value.peak is not None]
    return Times(
        statistics.median(value.wall for value in times),
        statistics.median(value.host for value in times),
        statistics.median(devices) if devices else None,
        max(peaks) if peaks else None,
    )
