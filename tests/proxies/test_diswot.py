"""Class maps from one gradient per class, and DisWOT's score from loops over images."""

from __future__ import annotations

import math
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.functional import normalize

import tvtfast
from tvtfast import spaces
from tvtfast.data import frozen_batch
from tvtfast.models import CifarResNet, UnsupportedModelError, class_map, extract_features


def candidate(space):
    space = spaces.get(space)
    smallest = min(space.sample(20, 0), key=space.params)
    return tvtfast.build(
        smallest, space=space, img_size=32, patch_size=8, num_classes=3, seed=0
    ).double()


def images(count=3):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, 3, 32, 32, generator=generator, dtype=torch.float64)


def explicit_map(module, image, block):
    """Grad-CAM of one image and every class, added."""
    total = 0.0
    for label in range(3):
        features = extract_features(module.eval(), image[None])
        tokens = features[block].x
        logit = module.forward_head(features[-1].x)[0, label]
        prefix = features[block].prefix_tokens
        gradient = torch.autograd.grad(logit, tokens)[0][0, prefix:]
        total = total + tokens[0, prefix:].detach() @ gradient.mean(0)
    return total


@pytest.mark.parametrize(
    ("space", "block"), [pytest.param("autoformer-tiny", -1, marks=pytest.mark.slow), ("pit", -2)]
)
def test_class_maps_are_sums_over_classes(space, block):
    """Of the last block whose patches reach the logits: a class token reads those before it."""
    module, batch = candidate(space), images(2)
    found = class_map(module, batch)
    expected = torch.stack([explicit_map(module, image, block) for image in batch])
    torch.testing.assert_close(found.samples(), expected, rtol=1e-9, atol=1e-15)
    assert found.x.any() and not found.x.requires_grad
    assert all(parameter.grad is None for parameter in module.parameters())


def test_class_map_of_a_convnet_is_its_classifier_over_the_features():
    module = tvtfast.initialize_(CifarResNet(8, 10), seed=1).double().train()
    batch = images()
    found = class_map(module, batch)
    assert module.training
    with torch.no_grad():
        features = module.eval().stages(batch)[-1]
    expected = torch.einsum("nc,bchw->bhw", module.linear.weight, features) / 64
    torch.testing.assert_close(found.x[:, 0], expected, rtol=1e-9, atol=1e-12)


def likeness(student, teacher):
    size = [max(student.shape[i], teacher.shape[i]) for i in (2, 3)]
    grams = []
    for x in (student, teacher):
        rows = F.interpolate(x, size, mode="bilinear", align_corners=False).flatten(1)
        grams.append(normalize(torch.tensor([[float(a @ b) for b in rows] for a in rows])))
    return -(grams[0] - grams[1]).double().square().mean().item()


def test_score_is_the_definition(teacher):
    space = spaces.get("pit")
    arch = min(space.sample(20, 0), key=space.params)
    batch = frozen_batch("digits", 4)
    table = tvtfast.score(
        [arch],
        space=space,
        proxies=("diswot", "relation_batch_similarity"),
        teacher=teacher,
        images=batch,
        patch_size=8,
        dtype="float64",
    )
    module = tvtfast.build(arch, space=space, img_size=32, num_classes=10, patch_size=8).double()
    module = tvtfast.initialize_(module, seed=0)
    with torch.no_grad():
        own = module.forward_intermediates(batch.images.double(), 1, intermediates_only=True)[0]
    theirs = teacher.features(batch.images)[-1].x.double()
    of_classes = torch.einsum("nc,bchw->bhw", teacher.module.linear.weight.double(), theirs)
    semantic = likeness(class_map(module, batch.images.double()).x, of_classes[:, None].detach())
    frame = table.to_pandas()
    assert frame["diswot"][0] == pytest.approx(semantic + likeness(own, theirs), rel=1e-4)
    assert frame["diswot"][0] < frame["relation_batch_similarity"][0] < 0


def test_a_teacher_is_asked_once_and_left_as_it_was(teacher, monkeypatch):
    asked = []
    original = CifarResNet.stages
    monkeypatch.setattr(
        CifarResNet, "stages", lambda self, x: asked.append(len(x)) or original(self, x)
    )
    space = spaces.get("pit")
    archs = sorted(space.sample(20, 0), key=space.params)[:3]
    scorer = tvtfast.Scorer(
        space=space,
        proxies=("diswot",),
        teacher=teacher,
        images=frozen_batch("digits", 2),
        patch_size=8,
    )
    table = pickle.loads(pickle.dumps(scorer))(archs)
    assert all(math.isfinite(value) for value in table.to_pandas()["diswot"])
    assert len(asked) <= 3, "features, class map, and features again in a copy"
    assert all(parameter.grad is None for parameter in teacher.module.parameters())


class Copies(nn.Module):
    def forward_intermediates(self, images, indices=None, intermediates_only=False):
        features = [images.detach().clone()]
        return features if intermediates_only else (images, features)

    def forward_head(self, features):
        return features.mean(dim=(2, 3))


def test_what_has_no_class_map_says_why():
    with pytest.raises(UnsupportedModelError, match="VitasDeit.*a class token is all that is read"):
        class_map(candidate("vitas-deit"), images())
    with pytest.raises(UnsupportedModelError, match="no logit of Copies depends on a feature"):
        class_map(Copies(), images())
    with pytest.raises(UnsupportedModelError, match="returned tuple, which is neither"):
        class_map(
            nn.LSTM(32, 2).double(), images()[:, 0], feature_fn=lambda m, x: x[:, None].clone()
        )
