"""CUDA C++ through ``tvtfast._cuda``, where the extension was built.

As with :mod:`.native`, the extension knows nothing of torch: it takes addresses, sizes, strides,
the device and the stream. The files of the operators check device, dtype and layout before an
address is taken, and allocate results and scratch.

Work is queued on PyTorch's current stream of the device of the tensors, and nothing waits for it.
A tensor allocated here, or freed by its last reference while its kernel is still queued, belongs to
that stream, on which the allocator hands memory out again in order: no ``record_stream`` is needed.
As with every operator of PyTorch, a tensor made on another stream is the caller's to keep alive and
to order.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor

from .native import DTYPE_CODES

NAME = "cuda"


@functools.cache
def _load() -> Any | str:
    try:
        return importlib.import_module("tvtfast._cuda")
    except ModuleNotFoundError:
        return "it was not built; reinstall tvtfast with TVTFAST_CUDA=1, which brings nvcc along"
    except ImportError as error:
        return f"it does not import: {error}"


def extension() -> Any:
    """The module ``tvtfast._cuda``; call it only where :func:`missing` is empty."""
    return _load()


def missing() -> tuple[str, ...]:
    """Why there is no extension; empty where there is one."""
    loaded = _load()
    if isinstance(loaded, str):
        return (f"the CUDA extension tvtfast._cuda is not installed ({loaded})",)
    return ()


_usable: set[int] = set()
"""Devices that are known to run the kernels."""


def _device_reasons(index: int) -> tuple[str, ...]:
    """Why the kernels cannot run on a device: its driver or architecture is too old, or its memory
    is full. A device that cannot now is asked again by the next call."""
    if index in _usable:
        return ()
    problem = extension().probe(index)
    if problem:
        return (f"cuda:{index} cannot run tvtfast._cuda: {problem}",)
    _usable.add(index)
    return ()


def tensor_reasons(
    named: Sequence[tuple[str, Tensor]], dtypes: Collection[torch.dtype] = tuple(DTYPE_CODES)
) -> tuple[str, ...]:
    """Why the extension cannot take these tensors.

    Tensors elsewhere are declined without a look at the extension or the driver, so that calls on
    the CPU never load either.
    """
    reasons = []
    for name, tensor in named:
        if tensor.device.type != "cuda":
            reasons.append(f"{name} is on {tensor.device} (allowed: cuda)")
        if tensor.dtype not in dtypes:
            allowed = ", ".join(str(dtype).removeprefix("torch.") for dtype in dtypes)
            reasons.append(
                f"{name} is {str(tensor.dtype).removeprefix('torch.')} (allowed: {allowed})"
            )
    if any(tensor.device.type != "cuda" for _, tensor in named):
        return tuple(reasons)
    if torch.version.hip is not None:
        return (*reasons, "this PyTorch is built for ROCm (allowed: CUDA)")
    indices = {tensor.device.index for _, tensor in named}
    usable = missing() or tuple(reason for i in sorted(indices) for reason in _device_reasons(i))
    return (*usable, *reasons)


def queue(device: torch.device) -> tuple[int, int]:
    """Index of a device and PyTorch's current stream there, the last arguments of every kernel."""
    return device.index, torch.cuda.current_stream(device).cuda_stream


def build_info() -> dict[str, str] | None:
    """Toolkit and architectures of the extension; None where it is not installed."""
    info: dict[str, str] | None = None if missing() else extension().build_info()
    return info
