"""What the figures of a run were measured on."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from typing import TYPE_CHECKING

from tvtfast.common.names import did_you_mean

if TYPE_CHECKING:
    import torch

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


def as_device(device: torch.device | str | None) -> torch.device:
    """The device of a name; the GPU, else the CPU, where none is given.

    Raises:
        ValueError: No device has that name, or this machine has none of that kind.
    """
    import torch

    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    chosen = parse_device(device)
    if chosen.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (chosen.index or 0) >= count:
            there = f"cuda:0 to cuda:{count - 1} or cpu" if count else "cpu, or leave it out"
            raise ValueError(
                f"device is {str(device)!r}, and torch finds {count} GPUs here; give {there}"
            )
    return chosen


def parse_device(device: torch.device | str) -> torch.device:
    """The device of a name, whether this machine has it or not.

    Raises:
        ValueError: No device has that name.
    """
    import torch

    try:
        return torch.device(device)
    except (RuntimeError, TypeError):
        raise ValueError(
            f"device is {device!r}; give cpu, cuda, cuda:1 or another one of torch's"
            f"{did_you_mean(device, ('cpu', 'cuda', 'mps', 'xpu'))}"
        ) from None


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
