"""A population in parts: candidates that begin alike stay together."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from tvtfast.population.tree import Numbers, PrefixTree, prefix_tree
from tvtfast.spaces import Paths


class Part(NamedTuple):
    """Some candidates of a population.

    Args:
        rows: The candidates.
        macs: Multiply-adds of one image: what they have in common counts once.
    """

    rows: tuple[int, ...]
    macs: int


def parts(paths: Paths, rows: Sequence[int], count: int, most: float) -> list[Part]:
    """Cut a population into subtrees of its prefix tree, largest first.

    A part has at most ``min(most, total / count)`` multiply-adds, or is the candidates of one
    architecture. Every part computes the beginning of its candidates again.

    Args:
        paths: The population.
        rows: Candidates to take.
        count: Parts of equal size that there would be, were candidates divisible.
        most: Multiply-adds of one image that a part may have.

    Determinism: a function of the arguments, whatever the order of ``rows``.
    """
    tree = prefix_tree(paths, sorted(rows))
    cut = _Cut(tree, *_costs(tree))
    found = (Part(tuple(sorted(rows)), macs) for rows, macs in cut.parts(count, most))
    return sorted(found, key=lambda part: (-part.macs, part.rows))


def _costs(tree: PrefixTree) -> tuple[Numbers, Numbers]:
    """Multiply-adds of every node, and of every node with all behind it."""
    own = np.array([*(step.macs for step in tree.steps), 0])[tree.step]
    return own, _with_descendants(tree, own)


def _with_descendants(tree: PrefixTree, own: Numbers) -> Numbers:
    """A number of every node, summed over the node and all behind it."""
    below = own.copy()
    for begin, end in reversed(list(itertools.pairwise(tree.levels.tolist()))[1:]):
        np.add.at(below, tree.parent[begin:end], below[begin:end])
    return below


def _side_by_side(tree: PrefixTree) -> tuple[list[int], list[int], list[int]]:
    """All candidates, such that those of a node and of all behind it stand side by side; by node
    the place of the first, and the place after the last."""
    own = tree.candidates.sizes
    count = _with_descendants(tree, own)
    begin = np.zeros(len(tree), np.int64)
    for first, end in itertools.pairwise(tree.levels.tolist()[1:]):
        level = slice(first, end)
        parent = tree.parent[level]
        before = np.cumsum(count[level]) - count[level]  # of the level
        eldest = before[tree.first[parent] - first]
        begin[level] = begin[parent] + own[parent] + before - eldest
    rows = np.empty(len(tree.candidates.rows), np.int64)
    place = np.arange(len(rows)) - np.repeat(tree.candidates.first[:-1], own)
    rows[np.repeat(begin, own) + place] = tree.candidates.rows
    return rows.tolist(), begin.tolist(), (begin + count).tolist()


class _Cut:
    """Takes a tree apart.

    Args:
        tree: The tree.
        own: Multiply-adds of every node.
        below: Of every node with all behind it.
    """

    def __init__(self, tree: PrefixTree, own: Numbers, below: Numbers) -> None:
        self._tree = tree
        self._own, self._below = own.tolist(), below.tolist()
        self._first: list[int] = tree.first.tolist()
        self._rows, self._begin, self._end = _side_by_side(tree)

    def parts(self, count: int, most: float) -> Iterator[tuple[list[int], int]]:
        """Candidates and multiply-adds of parts as `tvtfast.population.parts.parts` wants them."""
        return self._of(0, 0, min(most, self._below[0] / count))

    def _of(self, node: int, before: int, limit: float) -> Iterator[tuple[list[int], int]]:
        """Parts of a subtree whose beginning takes ``before`` multiply-adds."""
        if before + self._below[node] <= limit:
            yield self._candidates(node), before + self._below[node]
            return
        before += self._own[node]
        gathered, macs = list(self._tree.candidates[node]), before
        for child in self._children(node):
            if before + self._below[child] > limit:
                yield from self._of(child, before, limit)
                continue
            if gathered and macs + self._below[child] > limit:
                yield gathered, macs
                gathered, macs = [], before
            gathered += self._candidates(child)
            macs += self._below[child]
        if gathered:
            yield gathered, macs

    def _candidates(self, node: int) -> list[int]:
        return self._rows[self._begin[node] : self._end[node]]

    def _children(self, node: int) -> range:
        return range(self._first[node], self._first[node + 1])
