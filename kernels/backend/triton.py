"""Triton on CUDA devices, or on the CPU through Triton's interpreter.

Nothing here imports triton or starts a driver: the files of the operators answer with it whether a
call can be served, and :func:`launcher` imports the kernels on the first call that is.

Every kernel accumulates in fp32 or fp64 and sums in an order fixed by the shapes: no atomics, the
same bits on every run of one device. Launches go to the current stream and synchronise with
nothing; operators that build tables on the host say so.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

NAME = "triton"
HALF = (torch.float16, torch.bfloat16)
READABLE = (torch.float32, *HALF)
OLDEST_DEVICE = (8, 0)
"""Compute capability of the first NVIDIA devices with bf16."""
MOST_TOKENS = 65_535 * 16
"""Of an image: its programs lie along the second axis of a grid, each with 16 tokens or more."""
WIDEST_BLOCK = 256
"""Channels of a block of a network whose sums fit into registers."""
INTERPRETER_VARIABLE = "TRITON_INTERPRET"


def interpreting() -> bool:
    """Whether kernels run in Triton's interpreter, which takes tensors on the CPU."""
    return os.environ.get(INTERPRETER_VARIABLE) == "1"


@functools.cache
def missing() -> tuple[str, ...]:
    """Why there is no Triton; empty where there is one."""
    if importlib.util.find_spec("triton") is None:
        return ("triton is not installed (pip install tvtfast[triton])",)
    return ()


def launcher(folder: str, function: str) -> Callable[[Any], Any]:
    """``function`` of ``triton_kernels.py`` in the package ``folder``, imported when it is first
    called; it takes the call."""

    @functools.cache
    def load() -> Callable[..., Any]:
        kernels = importlib.import_module(f"{folder}.triton_kernels")
        found: Callable[..., Any] = getattr(kernels, function)
        return found

    def launch(call: tuple[Any, ...]) -> Any:
        return load()(call)

    return launch


def head_reasons(q: Tensor, widest: int) -> tuple[str, ...]:
    """Why heads ``[B, H, N, D]`` are too wide for a tile, or too long for a grid."""
    tokens, channels = q.shape[-2:]
    found: tuple[str, ...] = ()
    if channels > widest:
        found += (f"a head has {channels} channels (allowed: up to {widest})",)
    if tokens > MOST_TOKENS:
        found += (f"a head has {tokens} tokens (allowed: up to {MOST_TOKENS})",)
    return found


def beside_reasons(name: str, other: Tensor, first_name: str, first: Tensor) -> tuple[str, ...]:
    """Why two tensors cannot be read by one kernel."""
    if other.device == first.device:
        return ()
    return (f"{name} is on {other.device}, {first_name} on {first.device} (allowed: one device)",)


def tensor_reasons(
    name: str, tensor: Tensor, readable: Sequence[torch.dtype] = READABLE
) -> tuple[str, ...]:
    """Why Triton cannot read a tensor."""
    reasons = device_reasons(name, tensor)
    if tensor.dtype not in readable:
        allowed = ", ".join(_short(dtype) for dtype in readable)
        reasons += (f"{name} is {_short(tensor.dtype)} (allowed: {allowed})",)
    return reasons


def device_reasons(name: str, tensor: Tensor) -> tuple[str, ...]:
    """Why Triton does not run where a tensor is."""
    device = tensor.device
    if device.type == "cuda" and torch.version.hip is None:
        found = _capability(device.index)
        if found < OLDEST_DEVICE:
            return (
                f"{name} is on {device} of compute capability {_dotted(found)}"
                f" (allowed: {_dotted(OLDEST_DEVICE)} and above)",
            )
        return ()
    if device.type == "cuda" or (device.type == "cpu" and interpreting()):
        return ()
    return (f"{name} is on {device} (allowed: cuda, or cpu under {INTERPRETER_VARIABLE}=1)",)


@functools.cache
def _capability(index: int) -> tuple[int, int]:
    return torch.cuda.get_device_capability(index)


def _dotted(capability: tuple[int, int]) -> str:
    return ".".join(map(str, capability))


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
