"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import torch

from bench.timing import measure, timer
from tvtfast import kernels

COPIED_BYTES = {"cpu": 2**28, "cuda": 2**31}


def machine(device: str = "cpu") -> str:
    """Processor or device, load, versions, backends."""
    versions = f"torch {torch.__version__}"
    native = kernels.native_build_info() or {}
    backends = f"native {native.get('instruction_set', 'not installed')}"
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
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = names[0].partition(":")[2].strip() if names else cpu
    load = f"{os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "unknown"
    return f"{cpu}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, load {load}"
