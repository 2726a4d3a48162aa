"""What the figures of a run were measured on."""

from __future__ import annotations

import os
import platform
from importlib import metadata

_PACKAGES = ("tvtfast", "torch", "torchvision", "timm", "triton", "numpy", "pandas")


def versions() -> dict[str, str]:
    """Installed versions of Python and of the packages that scores depend on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def machine() -> dict[str, str]:
    """Processor, usable cores, threads of torch, load of the last minute, and GPUs."""
    import torch

    described = {
        "processor": _processor(),
        "cores": str(
            len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        ),
        "threads": str(torch.get_num_threads()),
        "system": platform.platform(terse=True),
    }
    if hasattr(os, "getloadavg"):
        described["load"] = f"{os.getloadavg()[0]:.2f}"
    if torch.cuda.is_available():
        described["gpu"] = ", ".join(
            torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())
        )
    return described


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
