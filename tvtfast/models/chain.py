"""Candidates whose forward pass is a chain of parts that can be run one by one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
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

    @abstractmethod
    def links(self) -> Iterator[Link]:
        """The links, first to last."""

    def block_features(self, images: Tensor) -> Iterator[SpatialFeatures]:
        self._check_images(images)
        x = images
        for link in self.links():
            x = link.run(x)
            if link.grid is not None:
                yield SpatialFeatures(x, link.grid, self.num_prefix_tokens)
