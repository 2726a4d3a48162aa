"""Count what a computation asks of a device: FLOPs, bytes, calls."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_CALLS = 2000
"""Calls that are timed."""


@dataclass(frozen=True)
class Work:
    """What is asked of a device.

    Args:
        flops: Floating-point operations, two per multiply-add.
        bytes: Of all operands and results of all operators.
        calls: Of operators.
    """

    flops: float = 0.0
    bytes: float = 0.0
    calls: float = 0.0

    def __sub__(self, other: Work) -> Work:
        return Work(
            self.flops - other.flops, self.bytes - other.bytes, self.calls - other.calls
        ).floored

    def __mul__(self, times: float) -> Work:
        return Work(self.flops * times, self.bytes * times, self.calls * times)

    @property
    def floored(self) -> Work:
        """Nothing below 0."""
        return Work(max(0.0, self.flops), max(0.0, self.bytes), max(0.0, self.calls))


def counted(compute: Callable[[], object]) -> Work:
    """What a computation on the CPU would ask of a device. It runs on one thread, so that nothing
    is called where it is not seen."""
    from torch.utils.flop_counter import FlopCounterMode

    calls = _Calls()
    with _one_thread(), FlopCounterMode(display=False) as flops, calls:
        compute()
    return Work(float(flops.get_total_flops()), float(calls.bytes), float(calls.count))


def call_seconds() -> float:
    """Seconds that this machine takes to call an operator that does nearly nothing."""
    one = torch.ones(1)
    best = float("inf")
    for _ in range(5):
        begun = time.perf_counter()
        for _ in range(_CALLS):
            torch.add(one, one)
        best = min(best, (time.perf_counter() - begun) / _CALLS)
    return best


class _Calls(TorchDispatchMode):
    """Counts calls that compute, and bytes of their operands."""

    def __init__(self) -> None:
        super().__init__()
        self.count = self.bytes = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        found = function(*args, **(kwargs or {}))
        if not _is_view(function):
            self.count += 1
            tensors = {
                (one.data_ptr(), one.numel()): one
                for one in tree_leaves((args, kwargs, found))
                if isinstance(one, torch.Tensor) and one.layout is torch.strided
            }
            self.bytes += sum(one.numel() * one.element_size() for one in tensors.values())
        return found


def _is_view(function: Any) -> bool:
    """Whether an operator computes nothing: its result is a view of what it was given."""
    returned = function._schema.returns
    return any(one.alias_info is not None and not one.alias_info.is_write for one in returned)


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
