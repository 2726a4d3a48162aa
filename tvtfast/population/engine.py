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
from tvtfast.population.schedule import IMAGES, Batch, Run, schedule
from tvtfast.population.tree import Node
from tvtfast.population.workers import Workers


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
        Nodes and their activations ``[len(nodes), B, T, dim]``, every node of the tree once.
    """
    held: dict[int, Tensor] = {IMAGES: images}
    for batch in schedule(root, plan.nodes_per_batch):
        held[batch.number] = _compute(batch, held[batch.source], bank, plan, workers)
        if batch.last_of_source:
            del held[batch.source]
        yield batch.nodes, held[batch.number]
        if batch.is_leaf:
            del held[batch.number]


def _compute(
    batch: Batch, source: Tensor, bank: WeightBank, plan: MemoryPlan, workers: Workers
) -> Tensor:
    images = len(source) if batch.source == IMAGES else source.shape[1]
    step: Any = batch.nodes[0].step
    shape = (len(batch.nodes), images, step.tokens, step.width)
    target = source.new_empty(shape, dtype=plan.dtype)
    if batch.source == IMAGES:
        source = source[None]
    workers.run(
        partial(_run, run, rows, part, source, target, bank)
        for run in batch.runs
        for rows, part in plan.slices(run.stop - run.start, images, step.tokens)
    )
    return target


def _run(
    run: Run, rows: slice, part: slice, source: Tensor, target: Tensor, bank: WeightBank
) -> None:
    """Some images of some parents of a run, through its next steps."""
    x = source[run.start + rows.start : run.start + rows.stop, part].flatten(0, 1)
    for targets, write in zip(run.targets, outputs(bank, x, run.steps), strict=True):
        _store(target[:, part], targets[rows], write)


def _store(target: Tensor, rows: Sequence[int], write: Write) -> None:
    """Have some rows of ``[K, B, T, dim]`` written."""
    if rows == tuple(range(rows[0], rows[0] + len(rows))):
        write(target[rows[0] : rows[0] + len(rows)].flatten(0, 1))
        return
    made = target.new_empty(len(rows), *target.shape[1:])
    write(made.flatten(0, 1))
    target.index_copy_(0, torch.tensor(rows, device=target.device), made)
