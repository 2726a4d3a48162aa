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
class Segment:
    """A stretch of the forward pass of a candidate.

    Args:
        parameters: What the names of its parameters begin with.
        run: What it computes: of the first segment from images ``[B, C, H, W]``, else from the
            tokens before it, tokens ``[B, P+N, D]``.
        grid: Height and width of the token grid after it where it is a block; else ``None``.
    """

    parameters: tuple[str, ...]
    run: Callable[[Tensor], Tensor]
    grid: tuple[int, int] | None = None


class SegmentedModel(CandidateModel):
    """A candidate that is its segments one after another, and then ``forward_head``.

    Attributes:
        head_parameters: What the names of the parameters behind the last segment begin with.
    """

    head_parameters: ClassVar[tuple[str, ...]] = ("norm.", "head.", "head_dist.")

    @abstractmethod
    def segments(self) -> Iterator[Segment]:
        """The segments, first to last."""

    def block_features(self, images: Tensor) -> Iterator[SpatialFeatures]:
        self._check_images(images)
        x = images
        for segment in self.segments():
            x = segment.run(x)
            if segment.grid is not None:
                yield SpatialFeatures(x, segment.grid, self.num_prefix_tokens)
