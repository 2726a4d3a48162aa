"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import torch

from bench.timing import measure, timer
from tvtfast import kernels

_NUMBERS = (("family", "cpu family"), ("model", "model"))
COPIED_BYTES = {"cpu": 2**28, "cuda": 2**31}


def machine(device: str = "cpu") -> str:
    """Processor or device, load, versions, backends."""
    versions = f"torch {torch.__version__}"
    native = kernels.native_build_info() or {}
    backends = f"native {native.get('vectors', 'not installed')}"
    if device == "cuda":
        versions += f", CUDA {torch.version.cuda}"
        cuda = kernels.cuda_build_info() or {}
        backends = f"cuda {cuda.get('toolkit', 'not installed')}"
        return f"{torch.cuda.get_device_name()}, {_cpu()}, {versions}, {backends}"
    return f"{_cpu()}, {versions}, {backends}"


def copy_rate(device: str, seconds: float = 1.0) -> float:
    """Bytes per second that copying a large buffer reads and writes: the ceiling of the memory."""
    source = torch.ones(COPIED_BYTES[device] // 4, device=device)
    target = torch.empty_like(source)
    copied = measure({"copy": lambda: target.copy_(source)}, timer(device), True, seconds)
    return 2 * source.nbytes / copied["copy"].work


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    cpu = _processor(info.read_text()) if info.exists() else ""
    cpu = cpu or platform.processor() or platform.machine()
    load = f"{os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "unknown"
    return f"{cpu}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, load {load}"


def _processor(info: str) -> str:
    """Name, family and model of the first processor in ``/proc/cpuinfo``; virtual machines often
    say no more of the name than its brand. Empty where it has no name."""
    first, _, _ = info.partition("\n\n")
    pairs = (line.partition(":") for line in first.splitlines())
    fields = {key.strip(): value.strip() for key, _, value in pairs}
    if "model name" not in fields:
        return ""
    numbers = [f"{key} {fields[name]}" for key, name in _NUMBERS if name in fields]
    return fields["model name"] + (f" ({', '.join(numbers)})" if numbers else "")
