"""The forward pass over a prefix tree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from tvtfast.population.bank import WeightBank
from tvtfast.population.layers import Block, block_of, outputs
from tvtfast.population.memory import MemoryPlan
from tvtfast.population.schedule import IMAGES, Call, Wave, release
from tvtfast.population.tree import Numbers
from tvtfast.population.workers import Share, Started, Task, Workers


@torch.no_grad()
def forward(
    waves: Sequence[Wave], images: Tensor, bank: WeightBank, plan: MemoryPlan, workers: Workers
) -> Iterator[tuple[Numbers, Tensor]]:
    """Compute a prefix tree, depth first.

    On a device nothing here waits for it: work is queued on the current stream, and numbers of rows
    that it needs are on it from the start.

    Args:
        waves: The schedule of the tree.
        images: ``[B, C, H, W]``.
        bank: The weights.
        plan: How much is computed at once.
        workers: Who computes it.

    Yields:
        Nodes that are read, and their activations ``[len(nodes), B, T, dim]``; every such node
        once.
    """
    engine = _Engine(images, bank, plan)
    rows = _on_device(waves, images.device)
    held: dict[int, Tensor] = {IMAGES: images}
    ended: list[Wave] = []
    read: list[int] = []  # sources that the last wave was the last to read
    before: Started = ()
    try:
        for wave in waves:
            source = held[wave.source]
            target = held[wave.number] = engine.target(wave)
            started = workers.start(engine.tasks(wave, source, target))
            del source, target
            workers.wait(before)
            release(held, read)
            before, read = started, [wave.source] if wave.last_of_source else []
            if wave.has_ends:
                ended.append(wave)
            if plan.workers == 1 or wave.reads or wave.order is not None:
                workers.finish()
                release(held, read)
            if wave.order is not None:
                held[wave.number] = engine.taken(held[wave.number], next(rows))
            if wave.reads:
                for done in ended:
                    x = held.pop(done.number) if done.is_leaf else held[done.number]
                    if done.ends is not None:
                        x = engine.taken(x, next(rows))
                    yield done.ended, engine.apart(x)
                    del x
                ended.clear()
    finally:
        workers.settle()


class _Engine:
    """Computes waves. Activations of a wave are ``[K * B, T, dim]``, so that every part of it that
    a call reads or writes is one view.

    Args:
        images: ``[B, C, H, W]``.
        bank: The weights.
        plan: How much is computed at once.
    """

    def __init__(self, images: Tensor, bank: WeightBank, plan: MemoryPlan) -> None:
        self._images, self._bank, self._plan = images, bank, plan
        self._count = len(images)
        self._blocks: dict[tuple[object, ...], Block | None] = {}

    def target(self, wave: Wave) -> Tensor:
        """Room for the activations of a wave."""
        shape = (len(wave.nodes) * self._count, wave.step.tokens, wave.step.width)
        return self._images.new_empty(shape, dtype=self._plan.dtype)

    def tasks(self, wave: Wave, source: Tensor, target: Tensor) -> dict[Share, list[Task]]:
        """What is to be done for a wave, by the images it is done for."""
        tasks: dict[Share, list[Task]] = {}
        for part in self._plan.parts(self._count, wave.step.tokens):
            tasks[part] = [
                partial(_compute, call, part, source, target, self._count, self._bank, block)
                for call in wave.calls
                for block in (self._block(source, call.steps),)
            ]
        return tasks

    def taken(self, x: Tensor, rows: Tensor) -> Tensor:
        """Some rows of a wave, one after the other."""
        size = x.shape[1:].numel() * self._count
        return x.view(-1, size).index_select(0, rows).view(-1, *x.shape[1:])

    def apart(self, x: Tensor) -> Tensor:
        """Activations by node, ``[K, B, T, dim]``."""
        return x.view(-1, self._count, *x.shape[1:])

    def _block(self, x: Tensor, steps: tuple[object, ...]) -> Block | None:
        if steps not in self._blocks:
            self._blocks[steps] = block_of(self._bank, x, steps)
        return self._blocks[steps]


def _on_device(waves: Sequence[Wave], device: torch.device) -> Iterator[Tensor]:
    """The rows that waves are put in order by, and those that are read, in the order they are asked
    for. All are copied at once, from pinned memory, so that the host does not wait."""
    wanted: list[Numbers] = []
    ended: list[Wave] = []
    for wave in waves:
        ended.append(wave)
        if wave.order is not None:
            wanted.append(wave.order)
        if wave.reads:
            wanted += [done.ends for done in ended if done.has_ends and done.ends is not None]
            ended.clear()
    if not wanted:
        return iter(())
    rows = torch.from_numpy(np.concatenate(wanted))
    if device.type == "cuda":
        rows = rows.pin_memory()
    return iter(rows.to(device, non_blocking=True).split([len(one) for one in wanted]))


def _compute(
    call: Call,
    part: Share,
    source: Tensor,
    target: Tensor,
    images: int,
    bank: WeightBank,
    block: Block | None,
) -> None:
    """Some images of the parents of a call, through their next steps."""
    rows, alternatives = call.stop - call.start, len(call.steps)
    first, size = part[0], part[1] - part[0]
    count = (rows - 1) * images + size
    x = source.narrow(0, call.start * images + first, count)
    begin = call.target * images + first
    if block is None:
        for number, write in enumerate(outputs(bank, x, call.steps)):
            write(target.narrow(0, begin + number * rows * images, count))
    elif alternatives == 1:
        block(x, target.narrow(0, begin, count))
    elif size == images:
        out = target.narrow(0, begin, alternatives * count)
        block(x, out.view(alternatives, count, *out.shape[1:]))
    else:
        made = target.new_empty(alternatives, count, *target.shape[1:])
        block(x, made)
        for number, result in enumerate(made):
            target.narrow(0, begin + number * rows * images, count).copy_(result)
