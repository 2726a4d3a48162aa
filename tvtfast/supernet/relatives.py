"""Several candidates of a superformer at once: what they begin with in common is computed once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from tvtfast.supernet.superformer import Superformer

_Genes = tuple[Any, ...]


@dataclass(eq=False)
class _Node:
    """Candidates that begin with the same links.

    Args:
        arch: One of them.
        place: Number of the last of these links.
        rows: Those that have no further one.
        children: The next links, by genes.
    """

    arch: Any
    place: int
    rows: list[int] = field(default_factory=list)
    children: dict[_Genes, _Node] = field(default_factory=dict)


class Relatives:
    """Candidates of a superformer as a prefix tree over their links.

    A link's weights follow from the genes up to it (which channels it takes and what is private
    to a patch size, a kind of attention or a number of heads), so candidates with equal genes up to
    some link have equal activations there, whatever the way of sharing and the mode. Every node
    of the tree runs what the module of a candidate runs, on the same images and slices: logits are
    bitwise those of the candidates one by one.

    Args:
        superformer: Where the weights come from.
        archs: Architectures of its space.
    """

    def __init__(self, superformer: Superformer, archs: Sequence[Any]) -> None:
        self._superformer = superformer
        self._root: dict[_Genes, _Node] = {}
        for row, arch in enumerate(archs):
            children = self._root
            for place, gene in enumerate(superformer.space.genes(arch)):
                node = children.setdefault(gene, _Node(arch, place))
                children = node.children
            node.rows.append(row)

    def __len__(self) -> int:
        """Links to compute; one by one, they are those of all candidates."""
        waiting, count = [self._root], 0
        while waiting:
            children = waiting.pop()
            count += len(children)
            waiting += [node.children for node in children.values()]
        return count

    def logits(self, images: Tensor, side: int = 0) -> Iterator[tuple[list[int], Tensor]]:
        """Logits of every candidate, depth first.

        Beside the images, at most one activation ``[B, P+N, D]`` per place where the path to a node
        branches is held, and it is freed before its last child's own children are computed: never
        more than the block features of the deepest candidate take.

        Args:
            images: ``[B, C, H, W]``, normalised.
            side: 0, or 1 for the last channels of ``bilateral``.

        Yields:
            Rows of candidates (several where architectures are equal), and their logits
            ``[B, num_classes]``.
        """
        model = self._superformer
        waiting = [(node, images) for node in self._root.values()]
        while waiting:
            node, x = waiting.pop()
            x = model.run_link(x, node.arch, node.place, side)
            if node.rows:
                yield node.rows, model.run_head(x, node.arch, side)
            waiting += [(child, x) for child in node.children.values()]
