"""A teacher that is somebody's module: what is theirs stays theirs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import tvtfast
from tvtfast import spaces
from tvtfast.data import VisionDataset
from tvtfast.distill import Distillation, Recipe, distill
from tvtfast.models import CifarResNet, Teacher
from tvtfast.spaces import AutoFormerArch, AutoFormerSpace

SPACE = spaces.register(AutoFormerSpace("test-callers", (16,), (2,), (2.0,), (2,)))
ARCH = AutoFormerArch(16, 2, (2.0,) * 2, (2,) * 2)
IMAGES = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))


class Watched(CifarResNet):
    """Says how it was when it computed."""

    def __init__(self):
        super().__init__(8, 10)
        self.seen: set[tuple[bool, bool, bool]] = set()

    def stages(self, images):
        self.seen.add((self.training, self.bn1.training, torch.is_grad_enabled()))
        return super().stages(images)


@pytest.fixture
def module():
    """In training, but for one frozen layer, as fine-tuning leaves a network."""
    module = tvtfast.initialize_(Watched(), seed=1).train()
    module.layer1.eval().requires_grad_(False)
    return module


def state(module):
    return (
        {name: part.training for name, part in module.named_modules()},
        {name: p.requires_grad for name, p in module.named_parameters()},
        {name: tensor.clone() for name, tensor in module.state_dict().items()},
    )


def assert_untouched(module, before):
    modes, gradients, tensors = state(module)
    assert (modes, gradients) == before[:2]
    for name, tensor in tensors.items():
        assert torch.equal(tensor, before[2][name]), name


def score(teacher):
    found = tvtfast.score(
        [ARCH], space=SPACE, teacher=teacher, images=IMAGES, proxies="teacher_aware", patch_size=8
    )
    return float(found.to_pandas()["teacher_aware"][0])


def small(split, dataset):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), dtype=np.uint8)
    shown = [Image.fromarray(image) for image in pixels]
    return VisionDataset(
        shown, torch.arange(8) % 10, tuple("abcdefghij"), name=dataset, split=split, img_size=16
    )


def train(teacher, folder, **how):
    return distill(
        ARCH,
        small("train", "some"),
        teacher,
        test=small("test", "some"),
        search_split=0,
        space=SPACE,
        output_dir=folder,
        how=Distillation(**how),
        recipe=Recipe(epochs=1, batch_size=8, warmup_epochs=0, augmentation="none"),
        device="cpu",
        patch_size=8,
    )


@pytest.mark.parametrize("call", ["load", "features", "logits", "score", "distill"])
def test_modes_gradients_and_statistics_stay(module, tmp_path, call):
    before = state(module)
    if call == "score":
        score(module)
    elif call == "distill":
        train(module, tmp_path / "student", logits="soft")
    else:
        teacher = tvtfast.load_teacher(module, input_size=32)
        {"load": str, "features": teacher.features, "logits": teacher}[call](IMAGES)
    assert_untouched(module, before)
    assert module.seen == (set() if call == "load" else {(False, False, False)})


def test_scores_are_those_of_evaluation_whatever_the_mode(module):
    evaluating = score(module.eval())
    assert score(module.train()) == evaluating


def test_a_frozen_copy_that_drifts_is_a_copy(module, tmp_path):
    before = state(module)
    train(module, tmp_path / "student", paper=True)
    assert_untouched(module, before)


def test_modes_come_back_after_an_error(module):
    def broken(network, images):
        raise RuntimeError("no features today")

    before = state(module)
    with pytest.raises(RuntimeError, match="no features today"):
        tvtfast.load_teacher(module, feature_fn=broken).features(IMAGES)
    assert_untouched(module, before)


def test_a_teacher_that_was_trained_on_is_another_teacher(module, tmp_path):
    store = tmp_path / "scores.sqlite"

    def stored():
        return tvtfast.score(
            [ARCH],
            space=SPACE,
            teacher=module,
            images=IMAGES,
            proxies="teacher_aware",
            patch_size=8,
            store=store,
        ).to_pandas()["teacher_aware"][0]

    teacher = tvtfast.load_teacher(module)
    first, name = stored(), teacher.fingerprint
    with torch.no_grad():
        module.train()(IMAGES)  # moves running statistics alone
    assert teacher.fingerprint != name
    second = stored()
    assert second != first
    assert second == score(module)


def test_a_scorer_keeps_the_teacher_of_its_set_up(module):
    scorer = tvtfast.Scorer(
        space=SPACE, teacher=module, images=IMAGES, proxies="teacher_aware", patch_size=8
    )
    before = tvtfast.load_teacher(module).fingerprint
    first = scorer([ARCH]).to_pandas()["teacher_aware"][0]
    with torch.no_grad():
        module.linear.weight.add_(1)
        module.layer3[0].conv1.weight.mul_(-1)
    assert scorer.setup.teacher_fingerprint == before
    assert scorer([ARCH]).to_pandas()["teacher_aware"][0] == first


def test_a_device_gets_a_copy(module):
    teacher = Teacher(module, name="mine")
    assert teacher.to("cpu") is teacher
    moved = teacher.to("meta")
    assert moved is not teacher and moved.module is not module
    assert {p.device.type for p in moved.module.parameters()} == {"meta"}
    assert {p.device.type for p in module.parameters()} == {"cpu"}


def test_loading_leaves_the_random_state(tmp_path, module):
    torch.save(module.state_dict(), tmp_path / "w.pth")
    plain = CifarResNet(8, 10)
    tvtfast.load_teacher(plain).save(tmp_path / "folder", dataset="d", accuracy=1.0)
    torch.save(
        tvtfast.load_teacher("resnet10t", num_classes=2, random_weights=True).module.state_dict(),
        tmp_path / "timm.pth",
    )
    before = torch.random.get_rng_state()
    tvtfast.load_teacher(tmp_path / "w.pth")
    tvtfast.load_teacher(tmp_path / "folder")
    tvtfast.load_teacher("resnet10t", checkpoint=tmp_path / "timm.pth")
    tvtfast.load_teacher("resnet18", random_weights=True)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert isinstance(plain, nn.Module)
