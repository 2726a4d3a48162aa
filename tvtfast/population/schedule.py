"""In which order the nodes of a prefix tree are computed, and what is in memory meanwhile.

The tree is walked depth first, a wave of nodes of one shape at a time: the activations of a node
are held until its last child has been computed, and no longer. What one call makes lies side by
side in the new wave. Rows with equal next steps come apart that way, level by level; where the next
calls would become too many for it, the rows of a wave are put in order once, as a whole.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from tvtfast.population.tree import NONE, Numbers, PrefixTree
from tvtfast.spaces.steps import Step

IMAGES = -1
"""Number of the wave that stands for the images."""

_MOST_CALLS = 1.5
"""Times as many calls as rows in order would take, above which rows are put in order."""


@dataclass(frozen=True, slots=True)
class Call:
    """Consecutive parents that have the same next steps, and go through them together.

    Args:
        start: Row of the first parent in its wave of activations.
        stop: Row after the last.
        steps: Next steps of each, smaller ones first.
        target: Row of the new wave where results begin: those of all parents with the first step,
            then with the next.
    """

    start: int
    stop: int
    steps: tuple[Step, ...]
    target: int


@dataclass(frozen=True, eq=False, slots=True)
class Wave:
    """One computation: children of parents that lie in one wave of activations.

    Args:
        source: Number of the wave the parents lie in, or ``IMAGES``.
        calls: What to compute from them.
        order: Rows in which results are put in order, or ``None`` where they stay.
        nodes: The new nodes, in the order of their rows.
        step: Step of one of them; all make activations of one shape.
        number: Number of the new wave.
        ends: Rows that are read, or ``None`` where all are.
        last_of_source: Whether nothing else is computed from the source.
        is_leaf: Whether nothing is computed from the new wave.
        reads: Whether the nodes so far that are to be read are read now. Everything must be
            complete for it, so they wait for each other; but those that more is computed from do
            not wait, and are read before it is.
    """

    source: int
    calls: tuple[Call, ...]
    order: Numbers | None
    nodes: Numbers
    step: Any
    number: int
    ends: Numbers | None
    last_of_source: bool
    is_leaf: bool
    reads: bool

    @property
    def has_ends(self) -> bool:
        """Whether one of the nodes is read."""
        return self.ends is None or len(self.ends) > 0

    @property
    def ended(self) -> Numbers:
        """The nodes that are read."""
        return self.nodes if self.ends is None else self.nodes[self.ends]


def schedule(
    tree: PrefixTree,
    nodes_per_wave: int,
    ends_per_reading: int = 1,
    rows_per_call: Callable[[int], int] = lambda tokens: 1,
) -> tuple[Wave, ...]:
    """Waves of at most ``nodes_per_wave`` new nodes (or all children of one parent), read when
    candidates end with ``ends_per_reading`` of them.

    Args:
        tree: The tree.
        nodes_per_wave: See above.
        ends_per_reading: See above.
        rows_per_call: Parents that go through one call, at most, by the tokens of an image.
    """
    waves: list[Wave] = []
    waiting = 0
    builder = _Builder(tree, nodes_per_wave, rows_per_call)
    stack = [(IMAGES, deque(builder.families(np.zeros(1, np.int64))))]
    while stack:
        source, pending = stack[-1]
        family = pending.popleft()
        if not pending:
            stack.pop()
        calls, nodes = builder.calls(family)
        order = builder.order(nodes)
        if order is not None:
            nodes = nodes[order]
        number = len(waves)
        following = deque(builder.families(nodes))
        if following:
            stack.append((number, following))
        (ends,) = tree.is_read[nodes].nonzero()
        waiting += len(ends)
        reads = waiting >= ends_per_reading or bool(len(ends) and following) or not stack
        if reads:
            waiting = 0
        waves.append(
            Wave(
                source,
                calls,
                order,
                nodes,
                tree.steps[tree.step[nodes[0]]],
                number,
                None if len(ends) == len(nodes) else ends,
                last_of_source=not pending,
                is_leaf=not following,
                reads=reads,
            )
        )
    return tuple(waves)


def release(held: dict[int, Any], numbers: list[int]) -> None:
    """Give back what was read for the last time; clears the list."""
    for number in numbers:
        del held[number]
    numbers.clear()


@dataclass(frozen=True, slots=True)
class _Family:
    """Parents, and those of their children that are computed together.

    Args:
        rows: Of the parents.
        children: Those of one parent side by side.
        first: Place of the first child of every parent, and the number of children.
    """

    rows: Numbers
    children: Numbers
    first: Numbers


class _Builder:
    """Waves of one tree, see `schedule`."""

    def __init__(self, tree: PrefixTree, limit: int, rows_per_call: Callable[[int], int]) -> None:
        self._tree, self._limit, self._rows_per_call = tree, limit, rows_per_call
        numbers: dict[tuple[object, ...], int] = {}
        kinds = [numbers.setdefault(_layer(step), len(numbers)) for step in tree.steps]
        self._layers = np.array([*kinds, NONE])[tree.step]
        self._alternatives: dict[tuple[int, ...], tuple[Step, ...]] = {}

    def families(self, nodes: Numbers) -> Iterator[_Family]:
        """What is computed from a wave: children that are layers of one kind and shape, some
        parents at a time."""
        tree = self._tree
        first = tree.first[nodes]
        counts = tree.first[nodes + 1] - first
        before = np.cumsum(counts) - counts
        rows = np.repeat(np.arange(len(nodes)), counts)
        children = np.arange(len(rows)) + np.repeat(first - before, counts)
        layers = self._layers[children]
        for layer in dict.fromkeys(layers.tolist()):
            chosen = layers == layer
            yield from self._limited(rows[chosen], children[chosen])

    def _limited(self, rows: Numbers, children: Numbers) -> Iterator[_Family]:
        first = np.append(np.flatnonzero(np.diff(rows, prepend=-1)), len(rows))
        begin, last = 0, len(first) - 1
        while begin < last:
            end = int(np.searchsorted(first, first[begin] + self._limit, "right")) - 1
            end = max(end, begin + 1)
            places = slice(first[begin], first[end])
            yield _Family(
                rows[first[begin:end]], children[places], first[begin : end + 1] - first[begin]
            )
            begin = end

    def calls(self, family: _Family) -> tuple[tuple[Call, ...], Numbers]:
        """The calls that compute a family, and its children in the order they are made."""
        tree, rows, children, first = self._tree, family.rows, family.children, family.first
        choices = tree.choices[tree.parent[children[first[:-1]]]]
        breaks = (np.diff(rows) != 1) | (np.diff(choices) != 0)
        starts = [0, *(np.flatnonzero(breaks) + 1).tolist()]
        found, made, target = [], [], 0
        for start, stop in zip(starts, [*starts[1:], len(rows)], strict=True):
            own = children[first[start] : first[stop]].reshape(stop - start, -1)
            steps = self._steps(tree.step[own[0]])
            for part in np.array_split(own, self._parts(len(own), steps[0])):
                row = int(rows[start])
                found.append(Call(row, row + len(part), steps, target))
                made.append(part.T.ravel())
                target += part.size
                start += len(part)
        return tuple(found), np.concatenate(made)

    def order(self, nodes: Numbers) -> Numbers | None:
        """Rows of new nodes in the order of all that is computed from them, where that saves calls;
        ``None`` where it does not."""
        tree = self._tree
        choices = tree.choices[nodes]
        going = tree.first[nodes + 1] > tree.first[nodes]
        if not going.any():
            return None
        step = tree.steps[tree.step[nodes[0]]]
        lengths = np.diff(np.flatnonzero(np.diff(choices)) + 1, prepend=0, append=len(nodes))
        heads = np.cumsum(lengths) - lengths
        made = sum(self._parts(length, step) for length in lengths[going[heads]].tolist())
        _, counts = np.unique(choices[going], return_counts=True)
        least = sum(self._parts(count, step) for count in counts.tolist())
        if made <= _MOST_CALLS * least:
            return None
        return np.argsort(tree.futures[nodes], kind="stable")

    def _parts(self, rows: int, step: Any) -> int:
        """Calls that so many parents take."""
        return -(-rows // self._rows_per_call(step.tokens))

    def _steps(self, numbers: Numbers) -> tuple[Step, ...]:
        """Alternative steps; equal ones are one object."""
        key = tuple(numbers.tolist())
        if key not in self._alternatives:
            self._alternatives[key] = tuple(self._tree.steps[number] for number in key)
        return self._alternatives[key]


@cache
def _layer(step: Step) -> tuple[object, ...]:
    """Steps with the same key read the same weights and make activations of the same shape."""
    return type(step), step.name, step.dim, step.width, getattr(step, "tokens", 0)
