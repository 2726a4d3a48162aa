"""The teacher-aware metric of TVT."""

from __future__ import annotations

from torch import Tensor

from tvtfast.models import SpatialFeatures
from tvtfast.proxies.base import Proxy, ProxyInputs, UndefinedScoreError, register


def common_size(student: tuple[int, int], teacher: tuple[int, int]) -> tuple[int, int]:
    """The grid on which both are compared: the larger height and the larger width."""
    return max(student[0], teacher[0]), max(student[1], teacher[1])


def teacher_aware(student: SpatialFeatures | Tensor, teacher: SpatialFeatures | Tensor) -> Tensor:
    r"""Negative distance between the attention maps of student and teacher.

    .. math:: T = -\frac{1}{B H W} \sum_{b, p} (a^t_{bp} - a^s_{bp})^2

    where :math:`a = s / \max(\lVert s \rVert_2, 10^{-12})` per image and :math:`s_p` is the mean
    over channels of the squared features at position ``p``, after bilinear resizing of the features
    to the larger of both grids.

    Args:
        student: Last-block features of the student, ``[B, C, H, W]`` or `SpatialFeatures`.
        teacher: Last-stage features of the teacher for the same images, likewise.

    Returns:
        Scalar, fp64; at most 0, higher is better. Differentiable once in both.

    Source: TVT (arXiv 2311.14337), teacher-aware metric.
    """
    student, teacher = _spatial(student), _spatial(teacher)
    size = common_size(student.size, teacher.size)
    distances = student.attention_map_distance(teacher.attention_map(size), size)
    return -distances.double().mean()


def _spatial(features: SpatialFeatures | Tensor) -> SpatialFeatures:
    return features if isinstance(features, SpatialFeatures) else SpatialFeatures(features)


def _per_image(inputs: ProxyInputs) -> Tensor:
    for whose, (height, width) in (
        ("network", inputs.features.size),
        ("teacher", inputs.teacher_size),
    ):
        if height * width == 1:
            raise UndefinedScoreError(
                f"the features of the {whose} have one position, and a map of one position is the "
                "same for every image; take features before pooling (feature_fn=...), or larger "
                "images"
            )
    size = common_size(inputs.features.size, inputs.teacher_size)
    return -inputs.features.attention_map_distance(inputs.teacher_map(size), size)


def _compute(inputs: ProxyInputs) -> float:
    return _per_image(inputs).double().mean().item()


TEACHER_AWARE = register(
    Proxy(
        "teacher_aware",
        _compute,
        needs=frozenset({"weights", "images", "teacher"}),
        description="likeness of student and teacher attention maps (TVT, arXiv 2311.14337)",
        per_image=_per_image,
    )
)
