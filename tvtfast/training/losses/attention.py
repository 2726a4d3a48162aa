"""Feature guidance by where features are large."""

from __future__ import annotations

from torch import Tensor

from tvtfast.models import SpatialFeatures
from tvtfast.training.losses.guidance import FeatureGuidance, larger_size


class AttentionGuidance(FeatureGuidance):
    """``sum over pairs of mean_(b,p) (a(up(t)) - a(up(s)))^2``.

    ``a`` is the activation-based attention map of an image, ``mean_c x_pc^2`` with unit L2 norm
    over positions. The distance and its gradient are one fused operator each
    (`tvtfast.kernels.attention_map_distance`); tokens are read where they lie. Differentiable once.
    Source: Zagoruyko and Komodakis, "Paying more attention to attention", ICLR 2017; Li et al.,
    ECCV 2022, "attention".
    """

    def distance(self, pair: int, student: SpatialFeatures, teacher: SpatialFeatures) -> Tensor:
        size = larger_size(student, teacher)
        return student.attention_map_distance(teacher.attention_map(size).detach(), size).mean()
