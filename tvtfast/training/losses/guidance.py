"""What all feature guidance shares: pairs of student blocks and teacher stages, and their sizes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tvtfast.models import SpatialFeatures


class FeatureGuidance(nn.Module, ABC):
    """Sum of a distance over pairs of student blocks and teacher stages.

    ``forward(student, teacher)`` takes the features of every block and of every stage and returns
    a scalar, fp64 for fp64 features and else fp32. Both sides of a pair are resized to the
    element-wise larger of their sizes (bilinear, ``align_corners=False``, no antialiasing). No
    gradient flows to the teacher.
    Source: Li et al., "Locality Guidance for Improving Vision Transformers on Tiny Datasets",
    ECCV 2022.

    Args:
        pairs: ``(block, stage)`` from 0; see `default_pairs`.

    Raises:
        ValueError: No pair, or (when called) one that names a block or stage that is not there.
    """

    def __init__(self, pairs: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        if not pairs:
            raise ValueError("pairs is empty; give (student block, teacher stage) at least once")
        self.pairs = tuple((int(block), int(stage)) for block, stage in pairs)

    @abstractmethod
    def distance(self, pair: int, student: SpatialFeatures, teacher: SpatialFeatures) -> Tensor:
        """The distance of one pair, a scalar."""

    def forward(
        self, student: Sequence[SpatialFeatures], teacher: Sequence[SpatialFeatures]
    ) -> Tensor:
        check_pairs(self.pairs, len(student), len(teacher))
        distances = [
            self.distance(pair, student[block], teacher[stage])
            for pair, (block, stage) in enumerate(self.pairs)
        ]
        return torch.stack(distances).sum()


def default_pairs(blocks: int, stages: int) -> tuple[tuple[int, int], ...]:
    """Every teacher stage with a student block at the same relative depth.

    Stage s of S goes with block ``min(floor(s D / (S - 1)), D - 1)`` of D, which for 12 blocks and
    3 stages is the published {0, 6, 11} <-> {0, 1, 2}; a single stage goes with the last block.
    """
    if stages == 1:
        return ((blocks - 1, 0),)
    return tuple(
        (min(stage * blocks // (stages - 1), blocks - 1), stage) for stage in range(stages)
    )


def check_pairs(pairs: Sequence[tuple[int, int]], blocks: int, stages: int) -> None:
    """Raise ``ValueError`` for a pair that names a block or stage that is not there."""
    for block, stage in pairs:
        if not (0 <= block < blocks and 0 <= stage < stages):
            raise ValueError(
                f"pair ({block}, {stage}) does not exist: the student has blocks 0..{blocks - 1} "
                f"and the teacher stages 0..{stages - 1}"
            )


def larger_size(first: SpatialFeatures, second: SpatialFeatures) -> tuple[int, int]:
    """Element-wise larger height and width."""
    (h1, w1), (h2, w2) = first.size, second.size
    return max(h1, h2), max(w1, w2)


def feature_map(features: SpatialFeatures) -> Tensor:
    """Features as ``[B, C, H, W]``, prefix tokens left out."""
    if features.grid is None:
        return features.x
    patches = features.x[:, features.prefix_tokens :]
    return patches.transpose(1, 2).unflatten(2, features.grid)


def resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    """``[B, C, H, W]`` in at least fp32, resized where it has another size."""
    x = x if x.dtype == torch.float64 else x.float()
    if tuple(x.shape[-2:]) == size:
        return x
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)
