"""How much memory there is, and how it shows that there was too little."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    import torch

_highest: dict[int, int] = {}
"""By GPU what was reached before its statistics were last reset here."""


def available_memory(device: torch.device) -> int:
    """Bytes that can be allocated on a device now, with caches that the system would give up."""
    if device.type == "cuda":
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed, or was known to fail; PyTorch has no exception of its own for
    that on the CPU."""
    import torch

    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
        isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
    )


def peak_of(work: Callable[[], object], device: torch.device) -> int:
    """Bytes that PyTorch's allocator handed out at most while ``work`` ran, less those before.

    Resets the peak statistics of the device; `device_peak` remembers them.
    """
    import torch

    index = torch.cuda.current_device() if device.index is None else device.index
    torch.cuda.synchronize(index)
    _highest[index] = max(_highest.get(index, 0), torch.cuda.max_memory_allocated(index))
    before = torch.cuda.memory_allocated(index)
    torch.cuda.reset_peak_memory_stats(index)
    work()
    torch.cuda.synchronize(index)
    return torch.cuda.max_memory_allocated(index) - before


def device_peak() -> int | None:
    """Bytes that PyTorch's allocator handed out at most in this process, of the GPU that took most;
    ``None`` where none was used."""
    import torch

    if not torch.cuda.is_initialized():
        return None
    return max(
        max(_highest.get(index, 0), torch.cuda.max_memory_allocated(index))
        for index in range(torch.cuda.device_count())
    )
