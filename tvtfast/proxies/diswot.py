"""The score of DisWOT: how alike an untrained student and its teacher see images."""

from __future__ import annotations

import torch
from torch import Tensor

from tvtfast import kernels
from tvtfast.models import SpatialFeatures, class_map
from tvtfast.proxies.base import Proxy, ProxyInputs, UndefinedScoreError, register
from tvtfast.proxies.network import like_weights
from tvtfast.proxies.teacher_aware import common_size


def diswot(
    student: SpatialFeatures,
    teacher: SpatialFeatures,
    student_map: SpatialFeatures,
    teacher_map: SpatialFeatures,
) -> Tensor:
    r"""Semantic similarity plus relation similarity of student and teacher.

    .. math:: -\frac{1}{B^2} \left( \lVert S(M^s) - S(M^t) \rVert_F^2
        + \lVert S(A^s) - S(A^t) \rVert_F^2 \right)

    where the rows of ``S(X)``, ``[B, B]``, are those of the Gram matrix of the images' flattened
    ``X``, each divided by its length (`tvtfast.kernels.relation_batch_similarity`). ``A`` are the
    features of the last block, ``M`` are class maps (`tvtfast.models.class_map`: Grad-CAM,
    accumulated over classes). Both are compared on the larger of both grids, by bilinear resizing.

    The released code compares channels of the gradients of both classifiers instead of class maps,
    the student's through a random projection to as many channels as the teacher has, so its score
    is another on every run; and it draws the weights of both networks anew. Class maps relate
    images, need no projection and no labels, and keep the teacher's weights.

    Args:
        student: Last-block features.
        teacher: Last-stage features of the teacher for the same images.
        student_map: Class map of the student, ``[B, 1, H, W]``.
        teacher_map: That of the teacher.

    Returns:
        Scalar, fp32, or fp64 where an argument is; at most 0, higher is better. Deterministic.

    Source: Dong et al., "DisWOT: Student Architecture Search for Distillation WithOut Training",
    CVPR 2023.
    """
    return -(_distance(student_map, teacher_map) + _distance(student, teacher))


def _distance(student: SpatialFeatures, teacher: SpatialFeatures) -> Tensor:
    size = common_size(student.size, teacher.size)
    return kernels.relation_batch_similarity(
        student.resized(size).samples(), teacher.resized(size).samples()
    )


def _compute(inputs: ProxyInputs) -> float:
    module = inputs.module
    own = class_map(module, like_weights(module, inputs.images), feature_fn=inputs.feature_fn)
    teacher_map = inputs.teacher_class_map
    score = diswot(inputs.features, inputs.teacher_features, own, teacher_map)
    if not torch.isfinite(score):
        raise UndefinedScoreError("features or class maps are NaN or infinite")
    return score.item()


register(
    Proxy(
        "diswot",
        _compute,
        needs=frozenset({"weights", "images", "teacher", "gradients"}),
        description="likeness of class maps and of relations between images (DisWOT, CVPR 2023)",
    )
)
