"""Candidates whose forward pass is a chain of parts that can be run one by one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from tvtfast.models.candidate import CandidateModel
from tvtfast.models.features import SpatialFeatures


@dataclass(frozen=True)
class Link:
    """A part of the forward pass of a candidate.

    Args:
        parameters: What the names of its parameters begin with.
        run: What it computes: of the first link from images ``[B, C, H, W]``, else from the
            tokens before it, tokens ``[B, P+N, D]``.
        grid: Height and width of the token grid after it where it is a block; else ``None``.
    """

    parameters: tuple[str, ...]
    run: Callable[[Tensor], Tensor]
    grid: tuple[int, int] | None = None


class ChainedModel(CandidateModel):
    """A candidate that is its links one after another, and then ``forward_head``.

    Attributes:
        head_parameters: What the names of the parameters behind the last link begin with.
    """

    head_parameters: ClassVar[tuple[str, ...]] = ("norm.", "head.", "head_dist.")
    checkpoints_blocks = True

    @abstractmethod
    def links(self) -> Iterator[Link]:
        """The links, first to last."""

    def block_features(self, images: Tensor) -> Iterator[SpatialFeatures]:
        self._check_images(images)
        return self.run_links(self.links(), images)

    def run_links(self, links: Iterable[Link], images: Tensor) -> Iterator[SpatialFeatures]:
        """What comes out of each link that is a block."""
        x = images
        for link in links:
            if link.grid is None:
                x = link.run(x)
                continue
            x = self.run_block(link.run, x)
            yield SpatialFeatures(x, link.grid, self.num_prefix_tokens)
