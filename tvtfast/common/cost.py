"""What a run costs: wall time, hours of cores or GPUs, peak memory; over all its starts."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from tvtfast.common.memory import device_peak

_HOUR = 3600.0


@dataclass(frozen=True)
class Cost:
    """What was spent, added up over the starts of a run.

    Args:
        wall_seconds: Time that passed while it ran.
        core_hours: Wall time of the starts without a GPU, times threads of PyTorch and processes,
            whether these were at work or waited.
        gpu_hours: Wall time of the starts with a GPU, times processes: each has one.
        host_memory: Most bytes that the first process had resident, from its own start on; ``None``
            where the system does not tell.
        gpu_memory: Most bytes that PyTorch's allocator handed out in the first process, of the GPU
            that took most; ``None`` without a GPU.
        threads: Threads of PyTorch in each process of the last start.
        processes: Processes that worked in the last start: those that train one network, or the
            workers that score. A process that hands out work is not counted.
        starts: How often the run was started or continued.
        processor_seconds: Processor time of the first process, all its threads; other work on the
            machine makes it no longer.
    """

    wall_seconds: float = 0.0
    core_hours: float = 0.0
    gpu_hours: float = 0.0
    host_memory: int | None = None
    gpu_memory: int | None = None
    threads: int = 1
    processes: int = 1
    starts: int = 0
    processor_seconds: float = 0.0

    @classmethod
    def of(cls, recorded: Mapping[str, Any] | None) -> Cost:
        """What a record says; nothing where it is of a version that did not measure."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in (recorded or {}).items() if name in known})

    def to_dict(self, candidates: int | None = None) -> dict[str, Any]:
        """As plain values; with ``seconds_per_candidate`` of that many."""
        values = asdict(self)
        if candidates:
            values["seconds_per_candidate"] = self.wall_seconds / candidates
        return values


class Meter:
    """Measures this start of a run, from when it is made.

    Args:
        before: What earlier starts cost.

    Attributes:
        started: When this start began, of ``time.perf_counter``.
        processor: The same of ``time.process_time``.
    """

    def __init__(self, before: Cost | None = None) -> None:
        import torch

        self.started, self.processor = time.perf_counter(), time.process_time()
        self._before = Cost() if before is None else before
        self._threads = torch.get_num_threads()  # another thread may be told another number
        self._workers: int | None = None
        self._allocations = _gpu_allocations()

    def begin_with(self, other: Meter) -> None:
        """Count from where another meter counts, which was made before."""
        self.started, self.processor = other.started, other.processor

    def shared(self, workers: int, threads: int) -> None:
        """From the start on, so many workers work for this process, each with so many threads.

        Whether they use GPUs is not seen from here: their hours are those of cores.
        """
        self._workers, self._threads = workers, threads

    def read(self) -> Cost:
        """What the run has cost up to now."""
        before, seconds = self._before, time.perf_counter() - self.started
        processes = self._workers or _processes()
        used_gpu = _gpu_allocations() > self._allocations
        hours = seconds * processes / _HOUR
        return Cost(
            wall_seconds=before.wall_seconds + seconds,
            core_hours=before.core_hours + (0.0 if used_gpu else hours * self._threads),
            gpu_hours=before.gpu_hours + (hours if used_gpu else 0.0),
            host_memory=_most(before.host_memory, resident_peak()),
            gpu_memory=_most(before.gpu_memory, device_peak() if used_gpu else None),
            threads=self._threads,
            processes=processes,
            starts=before.starts + 1,
            processor_seconds=before.processor_seconds + time.process_time() - self.processor,
        )


def _most(*values: int | None) -> int | None:
    return max((value for value in values if value is not None), default=None)


def resident_peak() -> int | None:
    """Most bytes that this process had resident; ``None`` where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _processes() -> int:
    import torch.distributed as dist

    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def _gpu_allocations() -> int:
    """How often memory of a GPU was asked for by this process."""
    import torch

    if not torch.cuda.is_initialized():
        return 0
    return sum(
        torch.cuda.memory_stats(index).get("allocation.all.allocated", 0)
        for index in range(torch.cuda.device_count())
    )
