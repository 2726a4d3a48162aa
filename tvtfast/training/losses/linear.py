"""Feature guidance through one 1x1 convolution per pair: the published recipe."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from tvtfast.models import SpatialFeatures
from tvtfast.training.losses.guidance import (
    FeatureGuidance,
    check_pairs,
    feature_map,
    larger_size,
    resized,
)


class LinearGuidance(FeatureGuidance):
    """``sum over pairs of mean_(b,c,p) (up(W_i s + bias_i) - up(t))^2``.

    ``W_i`` maps the channels of the student's block to those of the teacher's stage and is trained
    with the student. It is applied before resizing, which gives the same values (both are linear,
    and the weights of a bilinear resize add up to one) from fewer products.
    Source: Li et al., ECCV 2022, "linear".

    Args:
        student_channels: Channels of every block of the student.
        teacher_channels: Channels of every stage of the teacher.
        pairs: As in `FeatureGuidance`.
    """

    def __init__(
        self,
        student_channels: Sequence[int],
        teacher_channels: Sequence[int],
        pairs: Sequence[tuple[int, int]],
    ) -> None:
        super().__init__(pairs)
        check_pairs(self.pairs, len(student_channels), len(teacher_channels))
        self.projections = nn.ModuleList(
            nn.Conv2d(student_channels[block], teacher_channels[stage], 1)
            for block, stage in self.pairs
        )

    def distance(self, pair: int, student: SpatialFeatures, teacher: SpatialFeatures) -> Tensor:
        size = larger_size(student, teacher)
        projected = resized(self.projections[pair](feature_map(student)), size)
        return F.mse_loss(projected, resized(feature_map(teacher).detach(), size))
