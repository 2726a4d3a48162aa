"""What is measured: one operator on one shape, beside its baselines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from tvtfast.kernels.dispatch import OPERATORS

COLD_BYTES = 256 * 2**20
"""More than any last-level cache holds."""

Builder = Callable[[], "Case"]


class Skip(Exception):
    """A case that this device cannot hold; the message says why."""


@dataclass(frozen=True)
class Case:
    """One operator on one shape.

    Attributes:
        operator: What is measured.
        shape: The shape, and whether memory is cold.
        ours: The call that is measured.
        baselines: What it is compared with, by name; names hold no comma.
        check: Raises ``AssertionError`` where a result is wrong.
        bytes: Bytes one call must read and write, as :func:`costs` says.
        flops: Floating-point operations of one call, likewise.
        cold: Whether caches must not hold the data. On CUDA the timer sees to it; on the CPU the
            calls must take turns over :data:`COLD_BYTES` of buffers.
    """

    operator: str
    shape: str
    ours: Callable[[], object]
    baselines: dict[str, Callable[[], object]]
    check: Callable[[], None]
    bytes: int
    flops: int = 0
    cold: bool = False

    @property
    def forms(self) -> dict[str, Callable[[], object]]:
        """All calls by name, ours first."""
        return {"ours": self.ours, **self.baselines}

    @property
    def label(self) -> str:
        return f"{self.operator} {self.shape}"


def costs(operator: str, *arguments: Any) -> tuple[int, int]:
    """Bytes and floating-point operations that the definition of an operator counts for a call.

    Arguments are all those of the schema; tensors may be on the ``meta`` device.
    """
    definition = OPERATORS[operator]
    call = definition.arguments(*arguments)
    return definition.traffic(call), definition.flops(call)


def together(*calls: tuple[int, int]) -> tuple[int, int]:
    """Costs of several operators that one call runs."""
    return sum(nbytes for nbytes, _ in calls), sum(flops for _, flops in calls)


def buffers_needed(device: str, cold: bool, nbytes: int) -> int:
    """How many buffers of ``nbytes`` the calls of a case take turns over."""
    return -(-COLD_BYTES // nbytes) if cold and device == "cpu" else 1


def need_memory(device: str, nbytes: int) -> None:
    """Raise :class:`Skip` where a CUDA device has less free memory."""
    if device == "cuda":
        free, _ = torch.cuda.mem_get_info()
        if free < nbytes:
            raise Skip(f"needs {nbytes / 2**30:.0f} GiB, {free / 2**30:.0f} are free")
