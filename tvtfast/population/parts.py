"""A population in parts: candidates that begin alike stay together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tvtfast.population.tree import Node, prefix_tree
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
    root = prefix_tree(paths, sorted(rows))
    below: dict[Node, int] = {}
    _add_up(root, below)
    limit = min(most, below[root] / count)
    found = (Part(tuple(sorted(rows)), macs) for rows, macs in _cut(root, 0, limit, below))
    return sorted(found, key=lambda part: (-part.macs, part.rows))


def _add_up(node: Node, below: dict[Node, int]) -> int:
    """Multiply-adds of a node and of all behind it."""
    own = 0 if node.step is None else node.step.macs
    below[node] = own + sum(_add_up(child, below) for child in node.children.values())
    return below[node]


def _cut(
    node: Node, before: int, limit: float, below: dict[Node, int]
) -> Iterator[tuple[list[int], int]]:
    """Parts of a subtree whose beginning takes ``before`` multiply-adds."""
    if before + below[node] <= limit:
        yield _candidates(node), before + below[node]
        return
    before += 0 if node.step is None else node.step.macs
    gathered, macs = list(node.candidates), before
    for number in node.choices:
        child = node.children[number]
        if before + below[child] > limit:
            yield from _cut(child, before, limit, below)
            continue
        if gathered and macs + below[child] > limit:
            yield gathered, macs
            gathered, macs = [], before
        gathered += _candidates(child)
        macs += below[child]
    if gathered:
        yield gathered, macs


def _candidates(node: Node) -> list[int]:
    found = list(node.candidates)
    for child in node.children.values():
        found += _candidates(child)
    return found
