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
    """

    number: int
    step: Step | None
    candidates: list[int] = field(default_factory=list)
    children: dict[int, Node] = field(default_factory=dict)

    @cached_property
    def choices(self) -> tuple[int, ...]:
        """The set of its next steps, as a key to sort by."""
        return tuple(sorted(self.children))


def prefix_tree(paths: Paths, rows: Sequence[int]) -> Node:
    """The tree of some candidates of a population.

    Args:
        paths: The population.
        rows: Candidates to take.
    """
    root = Node(-1, None)
    skipped = [isinstance(step, Classifier) for step in paths.steps]
    for row in rows:
        node = root
        for number in paths.index[row].tolist():
            if number < 0 or skipped[number]:
                continue
            child = node.children.get(number)
            if child is None:
                child = node.children[number] = Node(number, paths.steps[number])
            node = child
        node.candidates.append(row)
    return root
