"""Relations against the published formulas in fp64, each term written out."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck
from torch.nn.functional import normalize

from tvtfast import kernels
from tvtfast.kernels.dispatch import OPERATORS

Relation = Callable[[Tensor, Tensor], Tensor]


def batch_similarity(student: Tensor, teacher: Tensor) -> Tensor:
    return (_rows(student) - _rows(teacher)).square().sum() / len(student) ** 2


def _rows(samples: Tensor) -> Tensor:
    return normalize(samples @ samples.mT, dim=-1)


def cc(student: Tensor, teacher: Tensor) -> Tensor:
    return (_correlations(student) - _correlations(teacher)).square().mean()


def _correlations(samples: Tensor) -> Tensor:
    unit = normalize(samples, dim=-1)
    cosine = unit @ unit.mT
    return math.exp(-0.8) * (1 + 0.8 * cosine + 0.8**2 / 2 * cosine**2)


def distance(student: Tensor, teacher: Tensor) -> Tensor:
    return (_lengths(student) - _lengths(teacher)).square().mean()


def _lengths(samples: Tensor) -> Tensor:
    squared = (samples.unsqueeze(0) - samples.unsqueeze(1)).square().sum(dim=-1)
    lengths = squared.clamp_min(1e-12).sqrt()
    return lengths * (1 - torch.eye(len(samples), dtype=samples.dtype))


def rkd_angle(student: Tensor, teacher: Tensor) -> Tensor:
    return (_angles(student) - _angles(teacher)).square().mean()


def _angles(samples: Tensor) -> Tensor:
    towards = normalize(samples.unsqueeze(0) - samples.unsqueeze(1), dim=-1)
    return torch.einsum("ijm,ikm->ijk", towards, towards)


def nst(student: Tensor, teacher: Tensor) -> Tensor:
    student, teacher = normalize(student, dim=-1), normalize(teacher, dim=-1)
    own = torch.einsum("bim,bjm->bij", student, student).square().mean()
    return own - 2 * torch.einsum("bim,bjm->bij", student, teacher).square().mean()


def ickd(student: Tensor, teacher: Tensor) -> Tensor:
    images, channels, _ = student.shape
    return (_rows(student) - _rows(teacher)).square().sum() / (images * channels)


SAMPLES: dict[str, tuple[Relation, Relation]] = {
    "batch_similarity": (kernels.relation_batch_similarity, batch_similarity),
    "cc": (kernels.relation_cc, cc),
    "distance": (kernels.relation_distance, distance),
    "rkd_angle": (kernels.relation_rkd_angle, rkd_angle),
}
CHANNELS: dict[str, tuple[Relation, Relation]] = {
    "nst": (kernels.relation_nst, nst),
    "ickd": (kernels.relation_ickd, ickd),
}
RELATIONS = SAMPLES | CHANNELS


def pair(name: str, images: int = 6, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Features of a student and a teacher that differ in all that the relation lets differ."""
    if name in SAMPLES:
        return torch.randn(images, 70).to(dtype), torch.randn(images, 45).to(dtype)
    teacher = (9, 16) if name == "nst" else (7, 25)
    return torch.randn(images, 7, 16).to(dtype), torch.randn(images, *teacher).to(dtype)


def entry_error(name: str, features: Tensor) -> float:
    """Bound of the error of one entry of what is compared, from the bound of the Gram matrix."""
    x = features.double()
    entry = OPERATORS["gram"].tolerance(features.dtype, x.shape[-1])
    if name in ("distance", "rkd_angle"):
        squared = (x.unsqueeze(0) - x.unsqueeze(1)).square().sum(dim=-1)
        diameter, closest = squared.max(), squared[squared > 0].min()
        if name == "distance":  # 4 entries of at most the squared diameter, through a square root
            return float(4 * entry * diameter / (2 * closest.sqrt()))
        return float(8 * entry * diameter / closest)  # both lengths cost as much as the product
    if name in ("batch_similarity", "ickd"):  # a row is at least as long as its diagonal entry
        lengths = x.norm(dim=-1)
        ratio = (lengths.amax(dim=-1) / lengths.amin(dim=-1)).max()
        return float(2 * entry * ratio * math.sqrt(x.shape[-2]))
    return 6 * entry  # a cosine costs 3 entries; its kernel at most doubles that


def bound(name: str, student: Tensor, teacher: Tensor, exact: Tensor) -> float:
    """Mean of ``(t - s)^2`` where entries are off by e: ``2 rms 2e + (2e)^2``."""
    error = entry_error(name, student) + entry_error(name, teacher)
    if name == "nst":
        return 3 * error
    scale = student.shape[-2] if name == "ickd" else 1
    rms = math.sqrt(float(exact) / scale)
    roundings = 32 * 2**-24 * rms**2
    return scale * (2 * rms * error + error**2 + roundings)


@pytest.mark.parametrize("dtype", (torch.float32, torch.float16, torch.bfloat16))
@pytest.mark.parametrize("images", (1, 2, 7, 33))
@pytest.mark.parametrize("name", RELATIONS)
def test_against_the_published_formula(name: str, images: int, dtype: torch.dtype) -> None:
    ours, formula = RELATIONS[name]
    student, teacher = pair(name, images, dtype)
    exact = formula(student.double(), teacher.double())
    actual = ours(student, teacher)
    assert actual.dtype == torch.float32 and actual.shape == ()
    if images == 1 and name in ("distance", "rkd_angle"):
        assert actual == exact == 0
    else:
        assert abs(actual - exact) <= bound(name, student, teacher, exact)


@pytest.mark.parametrize("name", RELATIONS)
def test_double_precision(name: str) -> None:
    ours, formula = RELATIONS[name]
    student, teacher = pair(name, dtype=torch.float64)
    expected = formula(student, teacher)
    torch.testing.assert_close(ours(student, teacher), expected, rtol=1e-12, atol=1e-14)
    mixed = ours(student, teacher.float())
    expected = formula(student, teacher.float().double())
    torch.testing.assert_close(mixed, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", RELATIONS)
def test_candidates_share_a_teacher(name: str) -> None:
    ours = RELATIONS[name][0]
    pairs = [pair(name) for _ in range(6)]
    students = torch.stack([student for student, _ in pairs]).unflatten(0, (2, 3))
    teachers = torch.stack([teacher for _, teacher in pairs[:3]])
    for teacher in (teachers[0], teachers, teachers[:1]):
        each = [
            ours(
                students[i, j],
                teacher if teacher.dim() < teachers.dim() else teacher[j % len(teacher)],
            )
            for i, j in itertools.product(range(2), range(3))
        ]
        torch.testing.assert_close(ours(students, teacher).flatten(), torch.stack(each))


@pytest.mark.parametrize("name", RELATIONS)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**20), images=st.integers(2, 9))
def test_order_of_images_does_not_matter(name: str, seed: int, images: int) -> None:
    ours = RELATIONS[name][0]
    torch.manual_seed(seed)
    student, teacher = pair(name, images, torch.float64)
    order = torch.randperm(images)
    torch.testing.assert_close(ours(student[order], teacher[order]), ours(student, teacher))


@pytest.mark.parametrize("name", RELATIONS)
def test_what_leaves_a_relation_unchanged(name: str) -> None:
    """Zero, or the least value, for the teacher itself, and for what the relation cannot see."""
    ours = RELATIONS[name][0]
    student, teacher = pair(name, dtype=torch.float64)
    unseen = {"distance": teacher + 3, "rkd_angle": 2 * teacher + 3}.get(name, 2 * teacher)
    for alike in (teacher, unseen):
        if name == "nst":
            own = ours(teacher, teacher)
            assert own < 0 and ours(student, teacher) > own
            torch.testing.assert_close(ours(alike, teacher), own)
        else:
            torch.testing.assert_close(ours(alike, teacher), torch.zeros_like(teacher.sum()))
    assert ours(student, teacher) > ours(teacher, teacher) + 1e-6


@pytest.mark.parametrize("name", ("distance", "rkd_angle"))
def test_a_common_offset_does_not_drown_the_samples(name: str) -> None:
    ours, formula = RELATIONS[name]
    student, teacher = pair(name)
    student = 1000 + student
    exact = formula(student.double(), teacher.double())
    assert abs(ours(student, teacher) - exact) <= bound(name, student, teacher, exact)


@pytest.mark.parametrize("name", ("distance", "rkd_angle"))
def test_equal_images_coincide(name: str) -> None:
    """Rounding of the Gram matrix must not give them a distance or an angle."""
    ours, formula = RELATIONS[name]
    student, teacher = pair(name)
    student, teacher = student[[0, 1, 1, 2, 3, 1]], teacher[[0, 1, 1, 2, 3, 1]]
    exact = formula(student.double(), teacher.double())
    assert abs(ours(student, teacher) - exact) <= bound(name, student, teacher, exact)
    student.requires_grad_()
    ours(student, teacher).backward()
    assert student.grad is not None and student.grad.isfinite().all()


@pytest.mark.parametrize("name", RELATIONS)
def test_zeros_and_nans(name: str) -> None:
    """Dead channels and black images are finite, and so is their gradient; a NaN is not hidden."""
    ours = RELATIONS[name][0]
    student, teacher = pair(name)
    student[0], teacher[1] = 0, 0
    student.requires_grad_()
    value = ours(student, teacher)
    value.backward()
    assert value.isfinite() and student.grad is not None and student.grad.isfinite().all()
    student, teacher = pair(name)
    teacher.flatten()[5] = torch.nan
    assert ours(student, teacher).isnan()


@pytest.mark.parametrize("name", RELATIONS)
def test_gradients(name: str) -> None:
    ours, formula = RELATIONS[name]
    student, teacher = (x.requires_grad_() for x in pair(name, 3, torch.float64))
    assert gradcheck(ours, (student, teacher))
    expected = torch.autograd.grad(formula(student, teacher), (student, teacher))
    torch.testing.assert_close(
        torch.autograd.grad(ours(student, teacher), (student, teacher)), expected
    )


@pytest.mark.parametrize("name", RELATIONS)
def test_transforms_match(name: str) -> None:
    ours, formula = RELATIONS[name]
    student, teacher = pair(name, 4, torch.float64)
    tangents = (torch.randn_like(student), torch.randn_like(teacher))
    expected = torch.func.jvp(formula, (student, teacher), tangents)
    torch.testing.assert_close(torch.func.jvp(ours, (student, teacher), tangents), expected)
    assert expected[1].abs() > 0
    students = torch.stack([student, 2 * student + 1])
    torch.testing.assert_close(
        torch.vmap(ours, (0, None))(students, teacher), ours(students, teacher)
    )


@pytest.mark.parametrize("name", RELATIONS)
def test_compile_full_graph(name: str) -> None:
    ours = RELATIONS[name][0]
    student, teacher = pair(name)
    student.requires_grad_()
    actual = torch.compile(ours, fullgraph=True, backend="aot_eager")(student, teacher)
    expected = ours(student, teacher)
    torch.testing.assert_close(actual, expected)
    torch.testing.assert_close(
        torch.autograd.grad(actual, student), torch.autograd.grad(expected, student)
    )


@pytest.mark.parametrize("name", RELATIONS)
def test_wrong_arguments(name: str) -> None:
    ours = RELATIONS[name][0]
    student, teacher = pair(name)
    with pytest.raises(ValueError, match="student has 6 images, teacher 5; pass features of the"):
        ours(student, teacher[:5])
    with pytest.raises(ValueError, match=r"student has shape \(3,\); pass (samples|channels) \["):
        ours(torch.ones(3), teacher)
    with pytest.raises(ValueError, match="none of them 0"):
        ours(student[:0], teacher[:0])
    with pytest.raises(TypeError, match="teacher has dtype int64"):
        ours(student, teacher.long())
    with pytest.raises(ValueError, match="teacher is on meta, student on cpu"):
        ours(student, teacher.to("meta"))
    with pytest.raises(ValueError, match=r"leading shape \(2,\), which does not broadcast"):
        ours(student, teacher.expand(2, *teacher.shape))


def test_relations_of_channels_name_what_differs() -> None:
    with pytest.raises(ValueError, match="student has 16 positions, teacher 25; resize"):
        kernels.relation_nst(torch.ones(2, 3, 16), torch.ones(2, 4, 25))
    with pytest.raises(ValueError, match="student has 3 channels, teacher 4; it is defined"):
        kernels.relation_ickd(torch.ones(2, 3, 16), torch.ones(2, 4, 16))
