"""Public relations between a student's features and a teacher's, all made of Gram matrices.

Relations of samples compare features of any widths and grids; relations of channels need more in
common, which each says. All are distances: 0 where both features agree (but for
:func:`relation_nst`), lower is more alike.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import normalize

from .. import checks, transforms
from ..angle_distance import reference
from ..angle_distance.definition import Arguments as AngleArguments
from ..angle_distance.reference import squared_distances
from ..calls import execute
from ..dtypes import accumulation_dtype
from ..gram import gram

__all__ = [
    "relation_batch_similarity",
    "relation_cc",
    "relation_distance",
    "relation_ickd",
    "relation_nst",
    "relation_rkd_angle",
]


DISTANCE_FLOOR = 1e-12
NORM_FLOOR = 1e-12
CONGRUENCE_GAMMA = 0.4
CONGRUENCE_ORDER = 2


def relation_batch_similarity(
    student: Tensor, teacher: Tensor, *, backend: str | None = None
) -> Tensor:
    """Difference of the similarities between samples.

    ``mean_ij (S^t_ij - S^s_ij)^2`` with the rows of ``S = G / ||G||_row`` and the Gram matrix G of
    the samples.

    Args:
        student: Samples ``[*, B, M_s]``, the flattened features of one image per row; fp32, fp16,
            bf16 or fp64, any strides.
        teacher: Samples ``[*, B, M_t]`` of the same images, leading dimensions broadcast to those
            of ``student``.
        backend: ``auto``, or a name of :func:`~tvtfast.kernels.backends`.

    Returns:
        ``[*]``; fp64 if either is fp64, else fp32. Differentiable any number of times.

    Raises:
        TypeError: A tensor is not floating-point of a listed dtype.
        ValueError: Shapes or devices do not fit together, or there is no sample.
        BackendError: The backend asked for by name cannot serve the call.

    Source: Tung and Mori, Similarity-preserving knowledge distillation, ICCV 2019.
    """
    student, teacher = _samples("relation_batch_similarity", student, teacher)
    of_student, of_teacher = (
        normalize(gram(samples, backend=backend), dim=-1) for samples in (student, teacher)
    )
    return _mean_square(of_teacher - of_student, 2)


def relation_cc(student: Tensor, teacher: Tensor, *, backend: str | None = None) -> Tensor:
    """Difference of the correlations between samples in a Gaussian kernel's Taylor series.

    ``mean_ij (K^t_ij - K^s_ij)^2`` with ``K = exp(-2 g) sum_{p <= 2} (2 g c)^p / p!``, ``g = 0.4``
    and c the cosine of two samples.

    Arguments, result and errors are those of :func:`relation_batch_similarity`.

    Source: Peng et al., Correlation congruence for knowledge distillation, ICCV 2019; order and
    gamma are those of the released code of TVT.
    """
    student, teacher = _samples("relation_cc", student, teacher)
    of_student, of_teacher = (
        _congruence(_cosines(gram(samples, backend=backend))) for samples in (student, teacher)
    )
    return _mean_square(of_teacher - of_student, 2)


def relation_distance(student: Tensor, teacher: Tensor, *, backend: str | None = None) -> Tensor:
    """Difference of the Euclidean distances between samples.

    ``mean_ij (D^t_ij - D^s_ij)^2`` with ``D_ij = sqrt(max(||x_i - x_j||^2, 1e-12))`` off the
    diagonal and 0 on it. As in the released code of TVT, and other than in the paper, distances are
    not divided by their mean, so the scale of the features counts.

    Arguments, result and errors are those of :func:`relation_batch_similarity`. Distances come from
    the Gram matrix relative to the first sample: an error of
    :func:`~tvtfast.kernels.gram.definition.tolerance` times four squared diameters of the batch in
    ``D^2``, however far the batch lies from the origin. Samples closer than the rounding of that
    matrix coincide, with distance 1e-6 and no gradient.

    Source: Park et al., Relational knowledge distillation, CVPR 2019.
    """
    student, teacher = _samples("relation_distance", student, teacher)
    of_student, of_teacher = (
        _distances(gram(samples, relative=True, backend=backend)) for samples in (student, teacher)
    )
    return _mean_square(of_teacher - of_student, 2)


def relation_rkd_angle(student: Tensor, teacher: Tensor, *, backend: str | None = None) -> Tensor:
    """Difference of the angles that samples see each other under.

    ``mean_ijk (A^t_ijk - A^s_ijk)^2`` with ``A_ijk`` the cosine of the angle at sample i between
    samples j and k, 0 where one of them coincides with i. As in the released code of TVT the
    difference is squared; the paper takes its Huber norm.

    ``<x_j - x_i, x_k - x_i> = G_jk - G_ij - G_ik + G_ii``, so the Gram matrix relative to the first
    sample is all that is read, and the triton backend adds the B^3 differences without forming
    them; the reference and the gradient do form them.

    Arguments, result and errors are those of :func:`relation_batch_similarity`. What coincides is
    as in :func:`relation_distance`; error bounds of the two steps:
    :func:`~tvtfast.kernels.gram.definition.tolerance`,
    :func:`~tvtfast.kernels.angle_distance.definition.tolerance`.

    Source: Park et al., Relational knowledge distillation, CVPR 2019.
    """
    student, teacher = _samples("relation_rkd_angle", student, teacher)
    of_student, of_teacher = (
        gram(samples, relative=True, backend=backend) for samples in (student, teacher)
    )
    leading = tuple(of_student.shape[:-2])
    of_student = of_student.reshape(math.prod(leading), *of_student.shape[-2:])
    of_teacher = checks.folded("relation_rkd_angle", "teacher", of_teacher, leading, 2)
    call = AngleArguments(of_student, of_teacher)
    if transforms.takes_reference("relation_rkd_angle", backend):
        distance = reference.run(call)
    else:
        distance = execute("angle_distance", call, backend, of_student, of_teacher)
    return distance.reshape(leading)


def relation_nst(student: Tensor, teacher: Tensor, *, backend: str | None = None) -> Tensor:
    """Squared maximum mean discrepancy of channels under the kernel ``k(a, b) = <a, b>^2``.

    ``mean k(s, s) - 2 mean k(s, t)`` per image, averaged over images, with channels L2-normalised
    over positions. The mean of ``k(t, t)`` is a constant of the teacher and left out, as in the
    released code: of all students, its own features get the least value, which is negative.

    Args:
        student: Channels ``[*, B, C_s, N]``, as in :func:`relation_batch_similarity` otherwise.
        teacher: Channels ``[*, B, C_t, N]`` on the same N positions.
        backend: As in :func:`relation_batch_similarity`.

    Returns:
        ``[*]``, as :func:`relation_batch_similarity`, with its errors.

    Source: Huang and Wang, Like what you like: knowledge distill via neuron selectivity transfer,
    2017.
    """
    student, teacher = _channels("relation_nst", student, teacher)
    if student.shape[-1] != teacher.shape[-1]:
        raise ValueError(
            f"relation_nst: student has {student.shape[-1]} positions, teacher {teacher.shape[-1]};"
            " resize the features to one grid"
        )
    dtype = torch.promote_types(student.dtype, teacher.dtype)
    student, teacher = student.to(dtype), teacher.to(dtype)
    own = gram(student, backend=backend)
    cross = gram(student, teacher, backend=backend)
    lengths = torch.linalg.vector_norm(teacher, dim=-1, dtype=cross.dtype).clamp_min(NORM_FLOOR)
    cross = cross / (_lengths(own).unsqueeze(-1) * lengths.unsqueeze(-2))
    return _mean_square(_cosines(own), 3) - 2 * _mean_square(cross, 3)


def relation_ickd(student: Tensor, teacher: Tensor, *, backend: str | None = None) -> Tensor:
    """Difference of the similarities between channels.

    ``(1 / C) sum_ij (S^t_ij - S^s_ij)^2`` averaged over images, with the rows of
    ``S = G / ||G||_row`` and the Gram matrix G of the channels of one image.

    Args:
        student: Channels ``[*, B, C, N_s]``, as in :func:`relation_batch_similarity` otherwise.
        teacher: Channels ``[*, B, C, N_t]``, as many as the student has.
        backend: As in :func:`relation_batch_similarity`.

    Returns:
        ``[*]``, as :func:`relation_batch_similarity`, with its errors.

    Source: Liu et al., Exploring inter-channel correlation for diversity-preserved knowledge
    distillation, ICCV 2021, without the projection of the student's channels.
    """
    student, teacher = _channels("relation_ickd", student, teacher)
    if student.shape[-2] != teacher.shape[-2]:
        raise ValueError(
            f"relation_ickd: student has {student.shape[-2]} channels, teacher {teacher.shape[-2]};"
            " it is defined for equal numbers, so project one of them"
        )
    of_student, of_teacher = (
        normalize(gram(channels, backend=backend), dim=-1) for channels in (student, teacher)
    )
    return _mean_square(of_teacher - of_student, 3) * student.shape[-2]


def _samples(function: str, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    return _pair(function, student, teacher, "samples [*, B, M]", 2)


def _channels(function: str, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    return _pair(function, student, teacher, "channels [*, B, C, N]", 3)


def _pair(
    function: str, student: Tensor, teacher: Tensor, wanted: str, dims: int
) -> tuple[Tensor, Tensor]:
    """Both in one format of accumulation; what is not ``wanted``, images first, is refused."""
    for name, tensor in (("student", student), ("teacher", teacher)):
        checks.check_dtype(function, name, tensor)
        if tensor.dim() < dims or 0 in tensor.shape[-dims:]:
            raise ValueError(
                f"{function}: {name} has shape {tuple(tensor.shape)}; pass {wanted}, none of them 0"
            )
    if student.shape[-dims] != teacher.shape[-dims]:
        raise ValueError(
            f"{function}: student has {student.shape[-dims]} images, teacher"
            f" {teacher.shape[-dims]}; pass features of the same images"
        )
    if student.device != teacher.device:
        raise ValueError(
            f"{function}: teacher is on {teacher.device}, student on {student.device};"
            " move one to the device of the other"
        )
    leading, teacher_leading = student.shape[:-dims], teacher.shape[:-dims]
    checks.check_broadcast(function, "teacher", teacher_leading, "student", leading)
    if accumulation_dtype(student.dtype) != accumulation_dtype(teacher.dtype):
        return student.double(), teacher.double()
    return student, teacher


def _mean_square(values: Tensor, dims: int) -> Tensor:
    return values.square().mean(dim=tuple(range(-dims, 0)))


def _lengths(gram: Tensor) -> Tensor:
    return gram.diagonal(dim1=-2, dim2=-1).clamp_min(NORM_FLOOR**2).sqrt()


def _cosines(gram: Tensor) -> Tensor:
    lengths = _lengths(gram)
    return gram / (lengths.unsqueeze(-1) * lengths.unsqueeze(-2))


def _congruence(cosines: Tensor) -> Tensor:
    scaled = 2 * CONGRUENCE_GAMMA * cosines
    terms = (scaled.pow(p) / math.factorial(p) for p in range(CONGRUENCE_ORDER + 1))
    return math.exp(-2 * CONGRUENCE_GAMMA) * sum(terms, torch.zeros_like(scaled))


def _distances(gram: Tensor) -> Tensor:
    distances = squared_distances(gram).clamp_min(DISTANCE_FLOOR).sqrt()
    diagonal = torch.eye(gram.shape[-1], dtype=torch.bool, device=gram.device)
    return distances.masked_fill(diagonal, 0.0)
