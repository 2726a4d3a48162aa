"""Feature guidance by which images of a batch look alike."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from tvtfast.models import SpatialFeatures
from tvtfast.training.losses.guidance import FeatureGuidance, feature_map, larger_size, resized


class SimilarityGuidance(FeatureGuidance):
    """``sum over pairs of mean_(i,j) (g(up(s))_ij - g(up(t))_ij)^2``.

    ``g(x)`` is the Gram matrix ``X X^T`` of the batch, ``X`` being ``[B, C H W]``, with every row
    divided by its L2 norm (at least 1e-12). On several processes each compares the images of its
    own part of the batch.
    Source: Tung and Mori, "Similarity-Preserving Knowledge Distillation", ICCV 2019; Li et al.,
    ECCV 2022, "similarity".
    """

    def distance(self, pair: int, student: SpatialFeatures, teacher: SpatialFeatures) -> Tensor:
        size = larger_size(student, teacher)
        with torch.autocast(student.x.device.type, enabled=False):
            return F.mse_loss(
                _gram(resized(feature_map(student), size)),
                _gram(resized(feature_map(teacher).detach(), size)),
            )


def _gram(x: Tensor) -> Tensor:
    rows = x.flatten(1)
    return F.normalize(rows @ rows.T, dim=1)
