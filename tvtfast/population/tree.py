"""A population as a prefix tree: what candidates have in common is computed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from tvtfast.spaces import Paths
from tvtfast.spaces.steps import Classifier, Step


@dataclass(eq=False)
class Node:
    """Candidates that begin with the same steps.

    Args:
        number: Place of the last of these steps in `tvtfast.spaces.Paths.steps`; -1 for the root.
        step: That step.
        candidates: Those that have no further one; the classifier does not count.
        children: The next steps.
        block: Number of the block that ends with it, where blocks are read.
        passing: Candidates with that block.
    """

    number: int
    step: Step | None
    candidates: list[int] = field(default_factory=list)
    children: dict[int, Node] = field(default_factory=dict)
    block: int | None = None
    passing: list[int] = field(default_factory=list)

    @property
    def is_read(self) -> bool:
        """Whether its activations are read."""
        return bool(self.candidates) or self.block is not None

    @cached_property
    def choices(self) -> tuple[int, ...]:
        """The set of its next steps, as a key to sort by."""
        return tuple(sorted(self.children))


def prefix_tree(paths: Paths, rows: Sequence[int], *, blocks: bool = False) -> Node:
    """The tree of some candidates of a population.

    Args:
        paths: The population.
        rows: Candidates to take.
        blocks: Whether the outputs of all blocks are read, or what candidates end with alone.
    """
    root = Node(-1, None)
    skipped = [isinstance(step, Classifier) for step in paths.steps]
    for row in rows:
        node = root
        way = []
        for number in paths.index[row].tolist():
            if number < 0 or skipped[number]:
                continue
            child = node.children.get(number)
            if child is None:
                child = node.children[number] = Node(number, paths.steps[number])
            node = child
            way.append(node)
        node.candidates.append(row)
        if blocks:
            for block, end in enumerate(block_ends(way)):
                end.block = block
                end.passing.append(row)
    return root


def block_ends(way: Sequence[Node]) -> list[Node]:
    """Those of the nodes of a candidate, in order, that a block ends with."""
    following = [*way[1:], None]
    return [
        node
        for node, after in zip(way, following, strict=True)
        if getattr(node.step, "ends_block", False)
        and not getattr(after and after.step, "continues_block", False)
    ]
