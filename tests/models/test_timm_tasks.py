"""Students and teachers in the distillation tasks of timm."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import tvtfast
from tvtfast.common.normalization import IMAGENET_NORMALIZATION, Normalization
from tvtfast.models import load_student, save_student
from tvtfast.models.student import StudentCard

task = pytest.importorskip("timm.task")

VIT = {"hidden_dim": 24, "depth": 3, "mlp_ratio": [2.0] * 3, "num_heads": [3] * 3}
ARCHS = {
    "autoformer-tiny": VIT,
    "pit": {"base_dim": 4, "mlp_ratio": 2, "depth": [2, 1, 2], "num_heads": [1, 2, 4]},
    "vitas-deit": {
        "patch_size": 16,
        "embed_dim": 24,
        "depth": 3,
        "num_heads": [3] * 3,
        "qkv_dim": [36] * 3,
        "mlp_dim": [24] * 3,
    },
    "vitas-twins": {
        "depth": [1, 1, 2, 1],
        "embed_dim": [10, 19, 38, 77],
        "attention": ["global", "local", "local", "global", "global"],
        "num_heads": [3, 4, 8, 8, 16],
        "qkv_dim": [36, 72, 144, 144, 288],
        "mlp_dim": [36, 72, 144, 144, 288],
    },
    "asvit": "6,4,2,2|3,2,2,1|2,1,2,2|2,1,2,1|16,8",
}
TASKS = ("LogitDistillationTask", "FeatureDistillationTask", "TokenDistillationTask")
TRIED = [
    *(("autoformer-tiny", name) for name in TASKS),
    *(("asvit", name) for name in TASKS[1:]),
    ("pit", TASKS[2]),
    ("vitas-deit", TASKS[1]),
    *(("vitas-twins", name) for name in TASKS),
]
CLASSES, SIDE = 10, 64


def batch():
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randn(4, 3, SIDE, SIDE, generator=generator),
        torch.arange(4) % CLASSES,
    )


@pytest.mark.parametrize(("space", "name"), TRIED)
def test_a_student_learns_in_every_task(space, name, teacher):
    model = tvtfast.build(
        ARCHS[space],
        space=space,
        num_classes=CLASSES,
        img_size=SIDE,
        distilled=name == "TokenDistillationTask",
    )
    distillation = getattr(task, name)(
        model, teacher.module, criterion=nn.CrossEntropyLoss(), task_loss_weight=0.5, verbose=False
    ).train()
    images, labels = batch()
    optimizer = torch.optim.AdamW(distillation.trainable_module.parameters(), lr=1e-2)
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        outcome = distillation(images, labels)
        outcome["loss"].backward()
        optimizer.step()
        losses.append(outcome["loss"].item())
    assert losses[-1] < losses[0] and outcome["output"].shape == (4, CLASSES)
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert not teacher.module.training


@torch.no_grad()
def test_what_it_matches_is_the_logits_and_features_of_the_teacher(teacher):
    model = tvtfast.build(VIT, space="autoformer-tiny", num_classes=CLASSES, img_size=SIDE)
    images, labels = batch()
    logits = task.LogitDistillationTask(
        model, teacher.module, criterion=nn.CrossEntropyLoss(), verbose=False
    ).eval()
    expected = nn.functional.kl_div(
        model(images).log_softmax(-1),
        teacher.module(images).log_softmax(-1),
        reduction="batchmean",
        log_target=True,
    )
    torch.testing.assert_close(logits(images, labels)["kd_loss"], expected)
    features = task.FeatureDistillationTask(
        model, teacher.module, criterion=nn.CrossEntropyLoss(), verbose=False
    ).eval()
    assert features.trainable_module.projection.weight.shape == (64, 24)
    last = teacher.module.stages(images)[-1].mean((2, 3))
    read = model.norm(model.forward_features(images))[:, 1:].mean(1)
    expected = (features.trainable_module.projection(read) - last).square().mean()
    torch.testing.assert_close(features(images, labels)["kd_loss"], expected)


def test_a_student_without_its_token_is_refused(teacher):
    model = tvtfast.build(VIT, space="autoformer-tiny", num_classes=CLASSES, img_size=SIDE)
    with pytest.raises(ValueError, match="no distillation head; build it with distilled=True"):
        task.TokenDistillationTask(model, teacher.module, criterion=nn.CrossEntropyLoss())


@torch.no_grad()
def test_images_are_normalised_anew_for_the_teacher(teacher, tmp_path):
    """Student and teacher say what their images were normalised with."""
    own = Normalization((0.5, 0.4, 0.3), (0.2, 0.2, 0.1))
    options = {"num_classes": CLASSES, "img_size": [SIDE, SIDE], "distilled": False, "in_chans": 3}
    card = StudentCard(
        space="autoformer-tiny",
        arch=VIT,
        model_options=options,
        normalization=own,
        classes=None,
        dataset="none",
        accuracy=None,
        recipe={},
    )
    save_student(tmp_path / "student", tvtfast.build(VIT, space=card.space, **options), card)
    student = load_student(tmp_path / "student").module
    assert student.pretrained_cfg["mean"] == own.mean
    assert student.pretrained_cfg["std"] == own.std

    named = tvtfast.load_teacher("resnet8", num_classes=CLASSES, random_weights=True)
    assert named.module.pretrained_cfg["mean"] == IMAGENET_NORMALIZATION.mean
    distillation = task.LogitDistillationTask(
        student, named.module, criterion=nn.CrossEntropyLoss(), verbose=False
    ).eval()
    images, _ = batch()
    found = distillation.teacher.normalize_input(
        images, distillation.student_mean, distillation.student_std
    )
    named.input_size = None
    torch.testing.assert_close(found, named.prepare(images, own))


def test_a_candidate_is_no_teacher_that_can_be_saved(tmp_path):
    model = tvtfast.build(VIT, space="autoformer-tiny", num_classes=CLASSES, img_size=SIDE)
    with pytest.raises(ValueError, match="cannot describe a AutoFormer"):
        tvtfast.Teacher(model, name="own").save(tmp_path / "t", dataset="none", accuracy=1.0)
