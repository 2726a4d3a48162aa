"""``backend="cuda"`` for tensors on the CPU, in a process of tests.

The library has no switch for it: what asks for a device is replaced where it is used.
"""

from __future__ import annotations

import ctypes
import importlib.util
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from tvtfast.kernels.backend import cuda
from tvtfast.kernels.backend.native import DTYPE_CODES

GUARD = 64
CANARY = 123.0


def serve(patch: pytest.MonkeyPatch, library: Path) -> Emulation:
    """Serve the backend from an emulated extension until ``patch`` is undone."""
    module = _load(library)
    forward = {name: getattr(module, name) for name in vars(module) if not name.startswith("_")}
    # CPU tensors have no index of their device.
    forward["attention_map_scratch"] = lambda *call: module.attention_map_scratch(*call[:-1], 0)
    patch.setattr(cuda, "_load", lambda: SimpleNamespace(**forward))
    _replace(patch, cuda.tensor_reasons, _tensor_reasons)
    _replace(patch, cuda.queue, lambda device: (0, 0))
    stream = SimpleNamespace(synchronize=lambda: None)
    patch.setattr(torch.cuda, "current_stream", lambda device=None: stream)
    return Emulation(library)


class Emulation:
    """What tests choose of the device."""

    def __init__(self, library: Path) -> None:
        self._configure = ctypes.CDLL(str(library)).emulated_configure
        self._configure.argtypes = (ctypes.c_uint64, ctypes.c_int, ctypes.c_int)

    def configure(self, seed: int, processors: int, fault: int = -1) -> None:
        """Schedules of a seed from now on, a number of multiprocessors, and a fault of many."""
        self._configure(seed, processors, fault)


def poison(patch: pytest.MonkeyPatch, guard: int = GUARD) -> list[Tensor]:
    """Fill what is allocated without values with NaN, between canaries; the whole buffers."""
    buffers: list[Tensor] = []

    def empty(*size: Any, pin_memory: bool = False, **options: Any) -> Tensor:
        shape = torch.Size(size[0] if len(size) == 1 and not isinstance(size[0], int) else size)
        buffer = torch.full((shape.numel() + 2 * guard,), CANARY, **options)
        buffers.append(buffer)
        whole = buffer[guard : guard + shape.numel()]
        return whole.fill_(torch.nan if whole.is_floating_point() else -1).view(shape)

    def new_empty(x: Tensor, *size: Any, **options: Any) -> Tensor:
        return empty(*size, **{"dtype": x.dtype, "device": x.device} | options)

    patch.setattr(torch, "empty", empty)
    patch.setattr(Tensor, "new_empty", new_empty)
    return buffers


def check_canaries(buffers: list[Tensor], guard: int = GUARD) -> None:
    """Nothing was written beside what was allocated."""
    for buffer in buffers:
        size = buffer.numel() - guard
        assert (buffer[:guard] == CANARY).all() and (buffer[size:] == CANARY).all()


def _load(library: Path) -> ModuleType:
    # pybind11 keeps modules by name; under that of the real extension there may be one already.
    spec = importlib.util.spec_from_file_location(f"emulated_{library.stem}._cuda", library)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _replace(patch: pytest.MonkeyPatch, old: object, new: object) -> None:
    """Replace a function wherever the operators have imported it."""
    for name, module in list(sys.modules.items()):
        if name.startswith("tvtfast.kernels"):
            for attribute, value in list(vars(module).items()):
                if value is old:
                    patch.setattr(module, attribute, new)


def _tensor_reasons(
    named: Sequence[tuple[str, Tensor]], dtypes: Collection[torch.dtype] = tuple(DTYPE_CODES)
) -> tuple[str, ...]:
    """As on a device, with the CPU in its place."""
    allowed = ", ".join(str(dtype).removeprefix("torch.") for dtype in dtypes)
    return tuple(
        f"{name} is {str(tensor.dtype).removeprefix('torch.')} (allowed: {allowed})"
        for name, tensor in named
        if tensor.dtype not in dtypes
    )
