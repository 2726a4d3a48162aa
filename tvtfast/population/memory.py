"""How much of a population is computed at once, decided from shapes before anything is launched."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch

from tvtfast.common.memory import available_memory
from tvtfast.population.layers import layer_of
from tvtfast.population.schedule import IMAGES, Wave, release, schedule
from tvtfast.population.tree import Node

_CPU_TOKENS = 4096
_CPU_NODES = 4
_CPU_ENDS = 16
_DEVICE_TOKENS = 2**18
_DEVICE_NODES = 256


@dataclass(frozen=True)
class MemoryPlan:
    """How a prefix tree is cut.

    Args:
        nodes_per_wave: Nodes whose activations are made together; at least all children of one.
        tokens_per_call: Tokens that go through one layer at once.
        dtype: Of activations.
        workers: Threads that make calls at the same time.
        ends_per_reading: Nodes that candidates end with and that wait to be read together, since
            the workers wait for each other then.
    """

    nodes_per_wave: int
    tokens_per_call: int
    dtype: torch.dtype
    workers: int = 1
    ends_per_reading: int = 1

    @property
    def smallest(self) -> bool:
        """Whether it cannot be halved."""
        return self.nodes_per_wave == 1 and self.tokens_per_call == 1

    def halved(self) -> MemoryPlan:
        """A plan that takes about half the memory."""
        return replace(
            self,
            nodes_per_wave=max(1, self.nodes_per_wave // 2),
            tokens_per_call=max(1, self.tokens_per_call // 2),
            ends_per_reading=max(1, self.ends_per_reading // 2),
        )

    def slices(self, rows: int, images: int, tokens: int) -> Iterator[tuple[slice, slice]]:
        """Rows and images that go through one call: several rows with all their images, or some
        images of one row, in equal parts for all workers."""
        together = self.tokens_per_call // max(1, images * tokens)
        if together > 1 and self.workers == 1:
            for start in range(0, rows, together):
                yield slice(start, min(start + together, rows)), slice(0, images)
            return
        parts = math.ceil(images * tokens / self.tokens_per_call)
        size = math.ceil(images / (self.workers * math.ceil(parts / self.workers)))
        for row in range(rows):
            for start in range(0, images, size):
                yield slice(row, row + 1), slice(start, min(start + size, images))


def plan_memory(
    root: Node,
    images: int,
    dtype: torch.dtype,
    device: torch.device,
    budget: int | None = None,
    workers: int = 1,
) -> MemoryPlan:
    """The largest plan whose activations fit.

    Args:
        root: The prefix tree.
        images: Images per candidate.
        dtype: Of matrix products and attention.
        device: Where everything is computed.
        budget: Bytes that activations may take; default half of what is available.
        workers: Threads that make calls at the same time.

    Raises:
        MemoryError: Not even the smallest plan fits; the message says what it needs.
    """
    limit = available_memory(device) // 2 if budget is None else budget
    on_cpu = device.type == "cpu"
    plan = MemoryPlan(
        _CPU_NODES if on_cpu else _DEVICE_NODES,
        _CPU_TOKENS if on_cpu else _DEVICE_TOKENS,
        dtype,
        workers,
        _CPU_ENDS if workers > 1 else 1,
    )
    while (needed := peak_bytes(root, images, plan)) > limit:
        if plan.smallest:
            raise MemoryError(
                f"activations of {images} images take {needed / 2**20:.0f} MiB at the least and "
                f"{limit / 2**20:.0f} MiB may be used; raise memory=..., or take fewer images"
            )
        plan = plan.halved()
    return plan


def peak_bytes(root: Node, images: int, plan: MemoryPlan) -> int:
    """Bytes of activations and temporaries that are held at once, at most; weights, and the images
    themselves, come on top."""
    held = {IMAGES: 0}
    ended: list[Wave] = []
    read: list[int] = []
    peak = before = 0
    for wave in schedule(root, plan.nodes_per_wave, plan.ends_per_reading):
        step: Any = wave.nodes[0].step
        held[wave.number] = (
            len(wave.nodes) * images * step.tokens * step.width * plan.dtype.itemsize
        )
        temporary = _temporary_bytes(wave, images, plan)
        # some workers may still be at the wave before
        peak = max(peak, sum(held.values()) + max(before, temporary))
        release(held, read)
        before, read = temporary, [wave.source] if wave.last_of_source else []
        if wave.has_ends:
            ended.append(wave)
        if plan.workers == 1 or wave.reads:
            release(held, read)
            before = 0
        if wave.reads and ended:
            # features of some of the nodes may be copied for their reader
            peak = max(peak, sum(held.values()) + max(held[done.number] for done in ended))
            for done in ended:
                if done.is_leaf:
                    del held[done.number]
            ended.clear()
    return peak


def _temporary_bytes(wave: Wave, images: int, plan: MemoryPlan) -> int:
    steps: list[Any] = [step for stretch in wave.stretches for step in stretch.steps]
    alternatives = max(len(stretch.steps) for stretch in wave.stretches)
    rows = max(stretch.stop - stretch.start for stretch in wave.stretches)
    tokens = max(step.tokens for step in steps)
    at_once = min(plan.workers * max(plan.tokens_per_call, tokens), images * rows * tokens)
    values = max(layer_of(step).values_per_token(step, alternatives) for step in steps)
    return at_once * values * plan.dtype.itemsize
