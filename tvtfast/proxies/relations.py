"""The relations that TVT's released code offers beside its attention map, for an ablation.

Each score is the negative distance of :mod:`tvtfast.kernels` between student and teacher, after
bilinear resizing of both features to the larger of both grids. Relations of samples are defined for
all features, ``relation_nst`` relates any numbers of channels, ``relation_ickd`` equal ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from tvtfast import kernels
from tvtfast.models import SpatialFeatures, UnsupportedModelError
from tvtfast.proxies.base import Proxy, ProxyInputs, register
from tvtfast.proxies.teacher_aware import common_size


@dataclass(frozen=True)
class _Likeness:
    """Negative distance of student and teacher.

    Args:
        distance: Of two matrices or batches of matrices.
        matrices: From features to those.
    """

    distance: Callable[[Tensor, Tensor], Tensor]
    matrices: Callable[[SpatialFeatures], Tensor]

    def __call__(self, inputs: ProxyInputs) -> float:
        student, teacher = inputs.features, inputs.teacher_features
        size = common_size(student.size, teacher.size)
        return -self.distance(
            self.matrices(student.resized(size)), self.matrices(teacher.resized(size))
        ).item()


def _register(
    distance: Callable[[Tensor, Tensor], Tensor],
    matrices: Callable[[SpatialFeatures], Tensor],
    name: str,
    description: str,
) -> str:
    needs = frozenset({"weights", "images", "teacher"})
    compute = _Likeness(distance, matrices)
    proxy = Proxy(name, compute, needs=needs, description=description, of_features=True)
    return register(proxy).name


def _ickd(student: Tensor, teacher: Tensor) -> Tensor:
    of_student, of_teacher = student.shape[-2], teacher.shape[-2]
    if of_student != of_teacher:
        raise UnsupportedModelError(
            f"relation_ickd is defined for equal numbers of channels; the student has {of_student},"
            f" the teacher {of_teacher}; choose another relation, or features of equal width"
        )
    return kernels.relation_ickd(student, teacher)


RELATIONS = (
    _register(
        kernels.relation_batch_similarity,
        SpatialFeatures.samples,
        "relation_batch_similarity",
        "likeness of the similarities between images (SP, ICCV 2019)",
    ),
    _register(
        kernels.relation_cc,
        SpatialFeatures.samples,
        "relation_cc",
        "likeness of the correlations between images (CC, ICCV 2019)",
    ),
    _register(
        kernels.relation_distance,
        SpatialFeatures.samples,
        "relation_distance",
        "likeness of the distances between images (RKD, CVPR 2019)",
    ),
    _register(
        kernels.relation_rkd_angle,
        SpatialFeatures.samples,
        "relation_rkd_angle",
        "likeness of the angles between images (RKD, CVPR 2019)",
    ),
    _register(
        kernels.relation_nst,
        SpatialFeatures.channels,
        "relation_nst",
        "likeness of the distributions of channels (NST, arXiv 1707.01219)",
    ),
    _register(
        _ickd,
        SpatialFeatures.channels,
        "relation_ickd",
        "likeness of the correlations between channels (ICKD, ICCV 2021)",
    ),
)
"""Names of the proxies."""
