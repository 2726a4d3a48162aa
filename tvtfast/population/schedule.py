"""In which order the nodes of a prefix tree are computed, and what is in memory meanwhile.

The tree is walked depth first, a wave of nodes of one shape at a time: the activations of a node
are held until its last child has been computed, and no longer.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from tvtfast.population.tree import Node
from tvtfast.spaces.steps import Step

IMAGES = -1
"""Number of the wave that stands for the images."""

_Parents = list[tuple[int, list[Node]]]
"""Rows, with the children to compute from them."""


@dataclass(frozen=True)
class Stretch:
    """Consecutive parents that have the same next steps.

    Args:
        start: Row of the first parent in its wave of activations.
        stop: Row after the last.
        steps: Next steps of each.
        targets: Per step, the row of the new wave that each parent's child goes to.
    """

    start: int
    stop: int
    steps: tuple[Step, ...]
    targets: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Wave:
    """One computation: children of parents that lie in one wave of activations.

    Args:
        source: Number of the wave the parents lie in, or ``IMAGES``.
        stretches: What to compute from them.
        nodes: The new nodes, in the order of their rows.
        number: Number of the new wave.
        last_of_source: Whether nothing else is computed from the source.
        is_leaf: Whether nothing is computed from the new wave.
        reads: Whether the nodes so far that are to be read are read now. Everything must be
            complete for it, so they wait for each other; but those that more is computed from do
            not wait, and are read before it is.
    """

    source: int
    stretches: tuple[Stretch, ...]
    nodes: tuple[Node, ...]
    number: int
    last_of_source: bool
    is_leaf: bool
    reads: bool

    @property
    def has_ends(self) -> bool:
        """Whether one of the nodes is read."""
        return any(node.is_read for node in self.nodes)


def schedule(root: Node, nodes_per_wave: int, ends_per_reading: int = 1) -> Iterator[Wave]:
    """Waves of at most ``nodes_per_wave`` new nodes (or all children of one parent), read when
    candidates end with ``ends_per_reading`` of them.

    New nodes are ordered by their own next steps, so that those with equal ones lie side by side.
    """
    waiting = 0
    counter = itertools.count()
    stack = [(IMAGES, deque(_waves([root], nodes_per_wave)))]
    while stack:
        source, pending = stack[-1]
        parents = pending.popleft()
        if not pending:
            stack.pop()
        nodes = sorted(
            (child for _, children in parents for child in children),
            key=lambda node: node.choices,
        )
        number = next(counter)
        following = deque(_waves(nodes, nodes_per_wave))
        if following:
            stack.append((number, following))
        ends = sum(node.is_read for node in nodes)
        waiting += ends
        reads = waiting >= ends_per_reading or bool(ends and following) or not stack
        if reads:
            waiting = 0
        yield Wave(
            source,
            _stretches(parents, nodes),
            tuple(nodes),
            number,
            last_of_source=not pending,
            is_leaf=not following,
            reads=reads,
        )


def release(held: dict[int, Any], numbers: list[int]) -> None:
    """Give back what was read for the last time; clears the list."""
    for number in numbers:
        del held[number]
    numbers.clear()


def _waves(nodes: Sequence[Node], limit: int) -> Iterator[_Parents]:
    """Parents, as rows with their next steps, whose children are layers of one kind and shape."""
    layers: dict[tuple[object, ...], _Parents] = {}
    for row, node in enumerate(nodes):
        split: dict[tuple[object, ...], list[Node]] = {}
        for number in node.choices:
            child = node.children[number]
            assert child.step is not None
            split.setdefault(_layer(child.step), []).append(child)
        for layer, children in split.items():
            layers.setdefault(layer, []).append((row, children))
    for parents in layers.values():
        wave: _Parents = []
        size = 0
        for row, children in parents:
            if wave and size + len(children) > limit:
                yield wave
                wave, size = [], 0
            wave.append((row, children))
            size += len(children)
        yield wave


@cache
def _layer(step: Step) -> tuple[object, ...]:
    """Steps with the same key read the same weights and make activations of the same shape."""
    return type(step), step.name, step.dim, step.width, getattr(step, "tokens", 0)


def _stretches(parents: _Parents, nodes: Sequence[Node]) -> tuple[Stretch, ...]:
    place = {node: row for row, node in enumerate(nodes)}
    stretches: list[tuple[int, list[list[Node]]]] = []
    numbers: list[int] | None = None
    for row, children in parents:
        wanted = [child.number for child in children]
        if wanted != numbers or row != stretches[-1][0] + len(stretches[-1][1]):
            stretches.append((row, []))
            numbers = wanted
        stretches[-1][1].append(children)
    return tuple(
        Stretch(
            start,
            start + len(rows),
            tuple(child.step for child in rows[0] if child.step is not None),
            tuple(tuple(place[child] for child in column) for column in zip(*rows, strict=True)),
        )
        for start, rows in stretches
    )
