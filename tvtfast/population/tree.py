"""A population as a prefix tree: what candidates have in common is computed once.

A tree is arrays with one entry per node. Nodes are numbered level by level, children of one node
side by side, smaller steps first; node 0 is the beginning, before any step.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tvtfast.spaces import Paths
from tvtfast.spaces.steps import Classifier, Step

Numbers: TypeAlias = "npt.NDArray[np.int64]"

NONE = -1


@dataclass(frozen=True, eq=False)
class Groups:
    """Candidates by node.

    Args:
        rows: Candidates, those of one node side by side.
        first: Place of the first of every node, and the number of all, ``[nodes + 1]``.
    """

    rows: Numbers
    first: Numbers

    @classmethod
    def of(cls, nodes: Numbers, rows: Numbers, count: int) -> Groups:
        """Candidates of ``count`` nodes, by pairs of node and candidate."""
        order = np.argsort(nodes, kind="stable")
        return cls(rows[order], np.searchsorted(nodes[order], np.arange(count + 1)))

    @property
    def sizes(self) -> Numbers:
        """Number of candidates of every node."""
        return np.diff(self.first)

    def __getitem__(self, node: int) -> tuple[int, ...]:
        return tuple(self.rows[self.first[node] : self.first[node + 1]].tolist())


@dataclass(frozen=True, eq=False)
class PrefixTree:
    """Candidates by the steps they begin with. A node stands for those that begin alike.

    Args:
        steps: The distinct steps, smaller ones first.
        step: By node the last of the common steps, as a place in ``steps``; -1 for node 0.
        parent: By node the one before; -1 for node 0.
        levels: First node of every level, and the number of nodes.
        candidates: Those that have no further step; the classifier does not count.
        passing: Where blocks are read, candidates with a block that ends with the node; else none.
        block: By node the number of that block, or -1.
    """

    steps: tuple[Step, ...]
    step: Numbers
    parent: Numbers
    levels: Numbers
    candidates: Groups
    passing: Groups
    block: Numbers

    def __len__(self) -> int:
        return len(self.step)

    @cached_property
    def first(self) -> Numbers:
        """First child of every node, and the number of nodes; the children of a node end where
        those of the next begin."""
        return np.searchsorted(self.parent, np.arange(len(self) + 1)).clip(1)

    @cached_property
    def is_read(self) -> npt.NDArray[np.bool_]:
        """Whether the activations of a node are read."""
        found: npt.NDArray[np.bool_] = (self.candidates.sizes > 0) | (self.block != NONE)
        return found

    @cached_property
    def choices(self) -> Numbers:
        """By node a number for the set of its next steps; a node without any has the lowest."""
        return self._ranked(np.zeros(len(self), np.int64), slice(0, len(self)), self.step)

    @cached_property
    def futures(self) -> Numbers:
        """By node a number for all that comes after it, such that an order by it is one by the next
        steps, then by those after them, and so on."""
        found = np.zeros(len(self), np.int64)
        for begin, end in reversed(list(itertools.pairwise(self.levels.tolist()))):
            level = slice(begin, end)
            found[level] = self._ranked(self.choices[level], level, found)
        return found

    def _ranked(self, leading: Numbers, nodes: slice, values: Numbers) -> Numbers:
        """Nodes numbered in the order of a leading value, and of the values of their children."""
        first, end = self.first[nodes], self.first[nodes.start + 1 : nodes.stop + 1]
        ranks, most = leading, int(values.max(initial=0)) + 2
        for place in range(int((end - first).max(initial=0))):
            child = first + place
            there = child < end
            value = np.where(there, values[np.where(there, child, 0)] + 1, 0)
            ranks = np.unique(ranks * most + value, return_inverse=True)[1]
        return ranks


def prefix_tree(paths: Paths, rows: Sequence[int], *, blocks: bool = False) -> PrefixTree:
    """The tree of some candidates of a population.

    Args:
        paths: The population.
        rows: Candidates to take.
        blocks: Whether the outputs of all blocks are read, or what candidates end with alone.
    """
    sizes = [step.params for step in paths.steps]
    order = np.argsort(sizes, kind="stable")
    steps = tuple(paths.steps[number] for number in order)
    candidates = np.asarray(rows, dtype=np.int64)
    index = _layers(paths, order, candidates)
    count = len(steps)
    at = np.zeros(len(candidates), np.int64)
    ways = np.full(index.shape, NONE, np.int64)
    step, parent, levels = [np.array([NONE])], [np.array([NONE])], [0, 1]
    for level, wanted in enumerate(index.T):
        going = wanted != NONE
        keys, found = np.unique(at[going] * count + wanted[going], return_inverse=True)
        at[going] = ways[going, level] = levels[-1] + found
        step.append(keys % count)
        parent.append(keys // count)
        levels.append(levels[-1] + len(keys))
    nodes = levels[-1]
    passing, block = _blocks(steps, index, ways, candidates, nodes) if blocks else _none(nodes)
    return PrefixTree(
        steps,
        np.concatenate(step),
        np.concatenate(parent),
        np.array(levels),
        Groups.of(at, candidates, nodes),
        passing,
        block,
    )


def _layers(paths: Paths, order: Numbers, candidates: Numbers) -> Numbers:
    """Steps of candidates, no classifiers, as places in ``order``; shorter rows filled with -1."""
    place = np.empty(len(order) + 1, np.int64)
    place[order] = np.arange(len(order))
    place[[number for number, step in enumerate(paths.steps) if isinstance(step, Classifier)]] = (
        NONE
    )
    place[NONE] = NONE
    index = place[paths.index[candidates]]
    there = np.argsort(index == NONE, axis=1, kind="stable")
    index = np.take_along_axis(index, there, axis=1)
    return index[:, (index != NONE).any(axis=0)]


def _blocks(
    steps: Sequence[Step], index: Numbers, ways: Numbers, candidates: Numbers, nodes: int
) -> tuple[Groups, Numbers]:
    """Candidates with a block that ends with a node, and the number of that block."""
    ends = _flags(steps, "ends_block")[index]
    ends[:, :-1] &= ~_flags(steps, "continues_block")[index[:, 1:]]
    number = np.cumsum(ends, axis=1) - 1
    block = np.full(nodes, NONE)
    block[ways[ends]] = number[ends]
    row = np.broadcast_to(candidates[:, None], ends.shape)
    return Groups.of(ways[ends], row[ends], nodes), block


def _flags(steps: Sequence[Any], name: str) -> npt.NDArray[np.bool_]:
    """A property of every step; what is no step has it not."""
    return np.array([*(getattr(step, name, False) for step in steps), False])


def _none(nodes: int) -> tuple[Groups, Numbers]:
    """No blocks are read."""
    nothing = np.empty(0, np.int64)
    return Groups.of(nothing, nothing, nodes), np.full(nodes, NONE)


def block_ends(steps: Sequence[Any]) -> list[Any]:
    """Those of the steps of a candidate, in order, that a block ends with."""
    return [
        step
        for step, after in itertools.zip_longest(steps, steps[1:])
        if getattr(step, "ends_block", False) and not getattr(after, "continues_block", False)
    ]
