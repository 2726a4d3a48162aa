"""How much of a population is computed at once, decided from shapes before anything is launched."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import torch

from tvtfast.common.memory import available_memory
from tvtfast.population.layers import layer_of
from tvtfast.population.schedule import IMAGES, Wave, release, schedule
from tvtfast.population.tree import PrefixTree

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

    def rows_per_call(self, images: int, tokens: int) -> int:
        """Parents that go through one call, all with all their images: one where workers share its
        images, or where it takes several calls."""
        return self._together(images, tokens) if self.workers == 1 else 1

    def parts(self, images: int, tokens: int) -> list[tuple[int, int]]:
        """Images of one parent, or of several, that go through one call, first and after the last:
        all, or some, in equal parts for all workers."""
        if self.workers == 1 and self._together(images, tokens) > 1:
            return [(0, images)]
        parts = math.ceil(images * tokens / self.tokens_per_call)
        size = math.ceil(images / (self.workers * math.ceil(parts / self.workers)))
        return [(start, min(start + size, images)) for start in range(0, images, size)]

    def schedule(self, tree: PrefixTree, images: int) -> tuple[Wave, ...]:
        """The waves of a tree."""
        rows = partial(self.rows_per_call, images)
        return schedule(tree, self.nodes_per_wave, self.ends_per_reading, rows)

    def _together(self, images: int, tokens: int) -> int:
        return max(1, self.tokens_per_call // max(1, images * tokens))


def plan_memory(
    tree: PrefixTree,
    images: int,
    dtype: torch.dtype,
    device: torch.device,
    budget: int | None = None,
    workers: int = 1,
) -> tuple[MemoryPlan, tuple[Wave, ...]]:
    """The largest plan whose activations fit, and its waves.

    Args:
        tree: The prefix tree.
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
    while (needed := peak_bytes(waves := plan.schedule(tree, images), images, plan)) > limit:
        if plan.smallest:
            raise MemoryError(
                f"activations of {images} images take {needed / 2**20:.0f} MiB at the least and "
                f"{limit / 2**20:.0f} MiB may be used; raise memory=..., or take fewer images"
            )
        plan = plan.halved()
    return plan, waves


def peak_bytes(waves: Sequence[Wave], images: int, plan: MemoryPlan) -> int:
    """Bytes of activations and temporaries that are held at once, at most; weights, and the images
    themselves, come on top."""
    held = {IMAGES: 0}
    ended: list[Wave] = []
    read: list[int] = []
    peak = before = 0
    temporary_bytes = cache(partial(_temporary_bytes, images=images, plan=plan))
    for wave in waves:
        size = images * wave.step.tokens * wave.step.width * plan.dtype.itemsize
        held[wave.number] = len(wave.nodes) * size
        temporary = max(temporary_bytes(call.steps, call.stop - call.start) for call in wave.calls)
        # some workers may still be at the wave before
        peak = max(peak, sum(held.values()) + max(before, temporary))
        release(held, read)
        before, read = temporary, [wave.source] if wave.last_of_source else []
        if wave.has_ends:
            ended.append(wave)
        if plan.workers == 1 or wave.reads or wave.order is not None:
            release(held, read)
            before = 0
        if wave.order is not None:
            peak = max(peak, sum(held.values()) + held[wave.number])
        if wave.reads and ended:
            # features of some of the nodes may be copied for their reader
            peak = max(peak, sum(held.values()) + max(held[done.number] for done in ended))
            for done in ended:
                if done.is_leaf:
                    del held[done.number]
            ended.clear()
    return peak


def _temporary_bytes(steps: Sequence[Any], rows: int, images: int, plan: MemoryPlan) -> int:
    """Bytes that calls of some parents make beside their results."""
    tokens = max(step.tokens for step in steps)
    at_once = plan.workers * min(max(plan.tokens_per_call, tokens), images * rows * tokens)
    values = max(layer_of(step).values_per_token(step, len(steps)) for step in steps)
    return at_once * values * plan.dtype.itemsize
