"""One process, or several under ``torchrun``."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from tvtfast.common.machine import as_device


@dataclass(frozen=True)
class Team:
    """The processes that train one network together.

    Attributes:
        rank: This process, from 0; only rank 0 writes files and shows progress.
        size: Number of processes.
        device: Where this process computes.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def wrap(self, module: nn.Module, *, partial: bool = False) -> nn.Module:
        """The module with gradients averaged over the team.

        Args:
            module: The module.
            partial: Whether a step may leave some parameters without a gradient.
        """
        if self.size == 1:
            return module
        return DistributedDataParallel(module, find_unused_parameters=partial)

    def sum(self, values: Tensor) -> Tensor:
        """Sum over the team, in place."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def copy_from_leader(self, tensors: Iterable[Tensor]) -> None:
        """Give every process the values that rank 0 has, in place."""
        if self.size > 1:
            for tensor in tensors:
                dist.broadcast(tensor, 0)

    def wait(self) -> None:
        """Until every process is here."""
        if self.size > 1:
            dist.barrier()


@contextmanager
def together(wrapped: nn.Module, *, last: bool) -> Iterator[None]:
    """Average gradients over the team in the ``last`` backward pass of a step alone."""
    if last or not isinstance(wrapped, DistributedDataParallel):
        yield
    else:
        with wrapped.no_sync():
            yield


@contextmanager
def team(device: torch.device | str | None = None) -> Iterator[Team]:
    """The team of this process: that of an initialised process group, else that which ``torchrun``
    announces in the environment, else this process alone.

    Args:
        device: Default the GPU (that of the local rank), else the CPU.
    """
    started = False
    if not dist.is_initialized() and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        on_gpu = device is None and torch.cuda.is_available() or "cuda" in str(device)
        dist.init_process_group("nccl" if on_gpu else "gloo")
        started = True
    try:
        joined = dist.is_initialized()
        rank, size = (dist.get_rank(), dist.get_world_size()) if joined else (0, 1)
        yield Team(rank, size, _device(device))
    finally:
        if started:
            dist.destroy_process_group()


def announces() -> bool:
    """Whether this process speaks for all that ``torchrun`` started."""
    return os.environ.get("RANK", "0") == "0"


def _device(device: torch.device | str | None) -> torch.device:
    chosen = as_device(device)
    if chosen.type == "cuda" and chosen.index is None:
        chosen = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(chosen)
    return chosen
