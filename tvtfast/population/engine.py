"""The forward pass over a prefix tree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from tvtfast.population.bank import WeightBank
from tvtfast.population.layers import Write, outputs
from tvtfast.population.memory import MemoryPlan
from tvtfast.population.schedule import IMAGES, Stretch, Wave, release, schedule
from tvtfast.population.tree import Node
from tvtfast.population.workers import Share, Started, Task, Workers


@torch.no_grad()
def forward(
    root: Node, images: Tensor, bank: WeightBank, plan: MemoryPlan, workers: Workers
) -> Iterator[tuple[Sequence[Node], Tensor]]:
    """Compute a prefix tree, depth first.

    Args:
        root: The tree.
        images: ``[B, C, H, W]``.
        bank: The weights.
        plan: How much is computed at once.
        workers: Who computes it.

    Yields:
        Nodes that candidates end with, among others, and their activations
        ``[len(nodes), B, T, dim]``; every such node once.
    """
    held: dict[int, Tensor] = {IMAGES: images}
    ended: list[Wave] = []
    read: list[int] = []  # sources that the last wave was the last to read
    before: Started = ()
    try:
        for wave in schedule(root, plan.nodes_per_wave, plan.ends_per_reading):
            source = held[wave.source]
            target = held[wave.number] = _target(wave, source, plan)
            started = workers.start(_tasks(wave, source, target, bank, plan))
            del source, target
            workers.wait(before)
            release(held, read)
            before, read = started, [wave.source] if wave.last_of_source else []
            if wave.has_ends:
                ended.append(wave)
            if plan.workers == 1 or wave.reads:
                workers.finish()
                release(held, read)
            if wave.reads:
                for done in ended:
                    yield done.nodes, held[done.number]
                    if done.is_leaf:
                        del held[done.number]
                ended.clear()
    finally:
        workers.settle()


def _target(wave: Wave, source: Tensor, plan: MemoryPlan) -> Tensor:
    images = len(source) if wave.source == IMAGES else source.shape[1]
    step: Any = wave.nodes[0].step
    shape = (len(wave.nodes), images, step.tokens, step.width)
    return source.new_empty(shape, dtype=plan.dtype)


def _tasks(
    wave: Wave, source: Tensor, target: Tensor, bank: WeightBank, plan: MemoryPlan
) -> dict[Share, list[Task]]:
    if wave.source == IMAGES:
        source = source[None]
    tasks: dict[Share, list[Task]] = {}
    for stretch in wave.stretches:
        for rows, part in plan.slices(stretch.stop - stretch.start, *target.shape[1:3]):
            task = partial(_compute, stretch, rows, part, source, target, bank)
            tasks.setdefault((part.start, part.stop), []).append(task)
    return tasks


def _compute(
    stretch: Stretch, rows: slice, part: slice, source: Tensor, target: Tensor, bank: WeightBank
) -> None:
    """Some images of some parents of a stretch, through its next steps."""
    x = source[stretch.start + rows.start : stretch.start + rows.stop, part].flatten(0, 1)
    for targets, write in zip(stretch.targets, outputs(bank, x, stretch.steps), strict=True):
        _store(target[:, part], targets[rows], write)


def _store(target: Tensor, rows: Sequence[int], write: Write) -> None:
    """Have some rows of ``[K, B, T, dim]`` written."""
    if rows == tuple(range(rows[0], rows[0] + len(rows))):
        write(target[rows[0] : rows[0] + len(rows)].flatten(0, 1))
        return
    made = target.new_empty(len(rows), *target.shape[1:])
    write(made.flatten(0, 1))
    # from pinned memory, so that the host does not wait for what is queued on the device
    index = torch.tensor(rows, pin_memory=target.is_cuda).to(target.device, non_blocking=True)
    target.index_copy_(0, index, made)
