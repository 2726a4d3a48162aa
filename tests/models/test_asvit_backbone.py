"""As-ViT as a backbone that timm makes: four maps, with channels and strides."""

from __future__ import annotations

import pytest
import timm
import torch

import tvtfast
from tvtfast.common.normalization import Normalization
from tvtfast.models import StudentCard, save_student

ARCH = "6,4,2,2|3,2,2,1|2,1,2,2|2,1,2,1|16,8"
OPTIONS = {"space": "asvit", "arch": ARCH, "img_size": 64}


def test_four_stages_with_channels_and_strides():
    backbone = timm.create_model("tvtfast_student", features_only=True, **OPTIONS).eval()
    assert backbone.feature_info.channels() == [8, 16, 32, 64]
    assert backbone.feature_info.reduction() == [4, 8, 16, 32]
    images = torch.randn(2, 3, 96, 64)
    model = tvtfast.build(ARCH, space="asvit", img_size=64)
    with torch.no_grad():
        maps, expected = backbone(images), model.forward_intermediates(images)[1]
    assert [tuple(x.shape[1:]) for x in maps] == [
        (8, 24, 16),
        (16, 12, 8),
        (32, 6, 4),
        (64, 3, 2),
    ]
    assert all(torch.equal(x, y) for x, y in zip(maps, expected, strict=True))


@pytest.mark.parametrize(
    ("chosen", "stages", "kept"), [((1, 2), (1, 2), 3), ((-2, -1), (2, 3), 4), (1, (3,), 4)]
)
def test_stages_are_chosen_and_the_rest_is_dropped(chosen, stages, kept):
    backbone = timm.create_model(
        "tvtfast_student", features_only=True, out_indices=chosen, **OPTIONS
    )
    images = torch.randn(1, 3, 64, 64)
    maps = backbone(images)
    assert backbone.feature_info.reduction() == [4 << stage for stage in stages]
    assert [x.shape[1] for x in maps] == backbone.feature_info.channels()
    assert len(backbone.model.stages) == kept and len(backbone.model.merges) == kept - 1
    sum(x.sum() for x in maps).backward()
    assert all(parameter.grad is not None for parameter in backbone.parameters())


def test_a_student_folder_becomes_a_backbone(tmp_path):
    model = tvtfast.build(ARCH, space="asvit", img_size=64, num_classes=5, seed=3)
    normalization = Normalization((0.5,) * 3, (0.2,) * 3)
    options = {
        "num_classes": 5,
        "img_size": [64, 64],
        "patch_size": 16,
        "in_chans": 3,
        "distilled": False,
        "drop_path_rate": 0.1,
    }
    arch = tvtfast.spaces.get("asvit").to_dict(model.arch)
    card = StudentCard("asvit", arch, options, normalization, None, "mine", 0.0, {})
    save_student(tmp_path, model, card)
    images = torch.randn(1, 3, 64, 64)
    whole = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    backbone = timm.create_model(f"local-dir:{tmp_path}", pretrained=True, features_only=True)
    with torch.no_grad():
        assert torch.equal(whole(images), model(images))
        found, expected = backbone.eval()(images), model.forward_intermediates(images)[1]
    assert all(torch.equal(x, y) for x, y in zip(found, expected, strict=True))
