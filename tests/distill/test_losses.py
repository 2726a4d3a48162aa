"""Distillation losses against their formulas, written out in fp64."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from tvtfast.models import SpatialFeatures
from tvtfast.training.losses import (
    AttentionGuidance,
    DistillationLoss,
    HardDistillation,
    LinearGuidance,
    SimilarityGuidance,
    SoftDistillation,
    default_pairs,
    weight_factor,
)

PAIRS = ((0, 0), (1, 1), (2, 1))
WIDTHS = (6, 6, 5)
STAGES = ((4, 9), (7, 3))
"""Channels and side of every teacher stage; the student's grid is 5 x 4."""


def resize_matrix(source: int, target: int) -> Tensor:
    """Bilinear interpolation along one axis as a matrix [target, source], half-pixel centres."""
    matrix = torch.zeros(target, source, dtype=torch.float64)
    for row in range(target):
        at = max((row + 0.5) * source / target - 0.5, 0.0)
        low = min(int(at), source - 1)
        matrix[row, low] += 1 - (at - low)
        matrix[row, min(low + 1, source - 1)] += at - low
    return matrix


def resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    rows, columns = resize_matrix(x.shape[2], size[0]), resize_matrix(x.shape[3], size[1])
    return torch.einsum("yh,xw,bchw->bcyx", rows, columns, x)


def both(student: SpatialFeatures, teacher: SpatialFeatures) -> tuple[Tensor, Tensor]:
    """Maps [B, C, H, W] of a pair in fp64, at the element-wise larger size."""
    tokens = student.x.double()[:, student.prefix_tokens :]
    s = tokens.transpose(1, 2).reshape(len(tokens), -1, *student.size)
    t = teacher.x.double()
    size = (max(s.shape[2], t.shape[2]), max(s.shape[3], t.shape[3]))
    return resize(s, size), resize(t, size)


def normed(rows: Tensor) -> Tensor:
    return rows / (rows * rows).sum(dim=-1, keepdim=True).sqrt()


def batch(
    dtype: torch.dtype = torch.float32, images: int = 3
) -> tuple[list[SpatialFeatures], list[SpatialFeatures]]:
    generator = torch.Generator().manual_seed(0)

    def randn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    student = [SpatialFeatures(randn(images, 22, width), (5, 4), 2) for width in WIDTHS]
    teacher = [SpatialFeatures(randn(images, width, side, side)) for width, side in STAGES]
    return student, teacher


def linear() -> LinearGuidance:
    torch.manual_seed(1)
    return LinearGuidance(WIDTHS, [width for width, _ in STAGES], PAIRS)


def test_linear_guidance_is_its_formula():
    student, teacher = batch()
    module, expected = linear(), 0.0
    for index, (block, stage) in enumerate(PAIRS):
        s, t = both(student[block], teacher[stage])
        weight = module.projections[index].weight.detach().double()[:, :, 0, 0]
        bias = module.projections[index].bias.detach().double()[:, None, None]
        difference = torch.einsum("oc,bchw->bohw", weight, s) + bias - t
        expected += (difference * difference).sum() / difference.numel()
    torch.testing.assert_close(module(student, teacher).double(), expected, rtol=1e-5, atol=0)


def test_attention_guidance_is_its_formula():
    student, teacher = batch()
    expected = 0.0
    for block, stage in PAIRS:
        s, t = (
            normed((x * x).mean(dim=1).flatten(1)) for x in both(student[block], teacher[stage])
        )
        expected += ((t - s) * (t - s)).sum() / t.numel()
    actual = AttentionGuidance(PAIRS)(student, teacher).double()
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=0)


def test_similarity_guidance_is_its_formula():
    student, teacher = batch()
    expected = 0.0
    for block, stage in PAIRS:
        s, t = (normed(x.flatten(1) @ x.flatten(1).T) for x in both(student[block], teacher[stage]))
        expected += ((t - s) * (t - s)).sum() / t.numel()
    actual = SimilarityGuidance(PAIRS)(student, teacher).double()
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("build", (linear, lambda: AttentionGuidance(PAIRS)))
def test_guidance_takes_one_image_and_half_precision(build):
    student, teacher = batch(torch.bfloat16, images=1)
    module = build().to(torch.bfloat16)
    exact = build()(
        *(
            [SpatialFeatures(f.x.float(), f.grid, f.prefix_tokens) for f in side]
            for side in (student, teacher)
        )
    )
    torch.testing.assert_close(module(student, teacher), exact, rtol=0.02, atol=0)


@pytest.mark.parametrize(
    "build", (linear, lambda: AttentionGuidance(PAIRS), lambda: SimilarityGuidance(PAIRS))
)
def test_guidance_has_the_gradient_of_its_value(build):
    student, teacher = batch(torch.float64)
    module = build().double()
    inputs = [f.x.requires_grad_() for f in student]
    fixed = [f.x.requires_grad_() for f in teacher]

    def value(*xs: Tensor) -> Tensor:
        return module([SpatialFeatures(x, (5, 4), 2) for x in xs[:3]], teacher)

    assert gradcheck(value, (*inputs, *module.parameters()))
    value(*inputs).backward()
    assert all(x.grad is None for x in fixed)


@pytest.mark.parametrize(
    ("blocks", "stages", "expected"),
    [
        (12, 3, ((0, 0), (6, 1), (11, 2))),
        (14, 3, ((0, 0), (7, 1), (13, 2))),
        (12, 5, ((0, 0), (3, 1), (6, 2), (9, 3), (11, 4))),
        (1, 3, ((0, 0), (0, 1), (0, 2))),
        (12, 1, ((11, 0),)),
    ],
)
def test_default_pairs(blocks, stages, expected):
    assert default_pairs(blocks, stages) == expected


def test_pairs_that_do_not_exist_are_named():
    student, teacher = batch()
    with pytest.raises(ValueError, match=r"pair \(3, 0\) does not exist: .* blocks 0..2"):
        AttentionGuidance([(3, 0)])(student, teacher)
    with pytest.raises(ValueError, match=r"pair \(0, 2\) does not exist"):
        LinearGuidance(WIDTHS, (4, 7), [(0, 2)])
    with pytest.raises(ValueError, match="pairs is empty"):
        AttentionGuidance([])


def soft(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    p, q = ((logits.double() / temperature).exp() for logits in (teacher, student))
    p, q = p / p.sum(dim=1, keepdim=True), q / q.sum(dim=1, keepdim=True)
    return temperature**2 * (p * (p / q).log()).sum() / p.numel()


def hard(student: Tensor, teacher: Tensor) -> Tensor:
    rows = [row.double().exp() for row in student]
    return -sum(
        math.log(row[int(t.argmax())] / row.sum()) for row, t in zip(rows, teacher, strict=True)
    ) / len(rows)


@pytest.mark.parametrize("temperature", (1.0, 4.0))
def test_logit_distillation_is_its_formula(temperature):
    student, teacher = torch.randn(2, 7, 10, generator=torch.Generator().manual_seed(2))
    module = SoftDistillation(temperature)
    expected = soft(student, teacher, temperature)
    torch.testing.assert_close(module(student, teacher).double(), expected, rtol=1e-5, atol=0)
    assert module(teacher, teacher) == 0
    assert HardDistillation()(student, teacher).item() == pytest.approx(hard(student, teacher))


@pytest.mark.parametrize("module", (SoftDistillation(2.0), HardDistillation()))
def test_logit_distillation_has_the_gradient_of_its_value(module):
    student, teacher = torch.randn(2, 3, 5, dtype=torch.float64, requires_grad=True).unbind(0)
    assert gradcheck(lambda x: module(x, teacher), student.detach().requires_grad_())
    given = torch.randn(3, 5, requires_grad=True)
    module(student.float(), given).backward()
    assert given.grad is None


def test_logit_distillation_needs_the_same_classes():
    with pytest.raises(ValueError, match=r"\[2, 5\] and the teacher \[2, 4\]"):
        SoftDistillation()(torch.zeros(2, 5), torch.zeros(2, 4))
    with pytest.raises(ValueError, match="give a number above 0"):
        SoftDistillation(0.0)


@pytest.mark.parametrize("schedule", ("constant", "linear", "cosine"))
def test_both_distillations_count(schedule):
    """The published code loses the logit term when both are on."""
    student, teacher = batch()
    logits, token, guide = torch.randn(3, 3, 10, generator=torch.Generator().manual_seed(3))
    labels = torch.tensor([1, 0, 9])
    guidance = AttentionGuidance(PAIRS)
    loss = DistillationLoss(
        guidance=guidance,
        guidance_weight=2.5,
        guidance_schedule=schedule,
        logits=SoftDistillation(3.0),
        logits_weight=0.25,
    )
    terms = loss(
        (logits, token),
        labels,
        features=student,
        teacher_features=teacher,
        teacher_logits=guide,
        progress=0.5,
    )
    factor = 1.0 if schedule == "constant" else 0.5
    classification = -logits.double().log_softmax(dim=1)[torch.arange(3), labels].mean()
    expected = 0.75 * classification + 0.25 * soft(token, guide, 3.0)
    expected += 2.5 * factor * guidance(student, teacher).double()
    torch.testing.assert_close(terms["loss"].double(), expected, rtol=1e-5, atol=0)
    assert set(terms) == {"loss", "classification", "guidance", "logits"}


def test_without_a_teacher_the_loss_is_cross_entropy():
    logits, labels = torch.randn(4, 6), torch.tensor([0, 1, 2, 3])
    terms = DistillationLoss()(logits, labels)
    assert torch.equal(terms["loss"], torch.nn.functional.cross_entropy(logits, labels))
    assert set(terms) == {"loss", "classification"}


def test_schedules_end_where_they_say():
    assert [weight_factor("linear", p) for p in (0.0, 1.0)] == [1.0, 0.0]
    assert [weight_factor("cosine", p) for p in (0.0, 1.0)] == [1.0, 0.0]
    with pytest.raises(ValueError, match="allowed: constant, linear, cosine"):
        weight_factor("step", 0.0)
    with pytest.raises(ValueError, match=r"number in 0\.\.1"):
        DistillationLoss(logits=HardDistillation(), logits_weight=2.0)
