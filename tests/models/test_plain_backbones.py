"""Candidates of PiT as backbones of three stages, and plain ViTs of one map."""

from __future__ import annotations

import pytest
import timm
import torch

import tvtfast
from tvtfast.models import CandidateModel

PIT = {"base_dim": 4, "mlp_ratio": 2, "depth": [2, 1, 2], "num_heads": [1, 2, 4]}
VIT = {"hidden_dim": 24, "depth": 3, "mlp_ratio": [2.0] * 3, "num_heads": [3] * 3}
DEIT = {
    "patch_size": 16,
    "embed_dim": 24,
    "depth": 3,
    "num_heads": [3] * 3,
    "qkv_dim": [36] * 3,
    "mlp_dim": [24] * 3,
}
ONE_MAP = [("autoformer-tiny", VIT), ("autoformer-original-tiny", VIT), ("vitas-deit", DEIT)]
OPTIONS = {"img_size": (64, 96), "num_classes": 5}


def backbone_of(space, arch, **options):
    return timm.create_model(
        "tvtfast_student", space=space, arch=arch, features_only=True, **OPTIONS, **options
    ).eval()


def test_a_pit_gives_its_three_stages():
    backbone = backbone_of("pit", PIT)
    assert backbone.feature_info.channels() == [4, 8, 16]
    assert backbone.feature_info.reduction() == [8, 16, 32]
    model = tvtfast.build(PIT, space="pit", **OPTIONS)
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        maps, blocks = backbone(images), list(model.block_features(images))
    assert [tuple(x.shape[1:]) for x in maps] == [(4, 7, 11), (8, 4, 6), (16, 2, 3)]
    for found, end in zip(maps, (1, 2, 4), strict=True):
        tokens = blocks[end].x[:, 1:]
        assert torch.equal(found, tokens.transpose(1, 2).unflatten(2, blocks[end].size))


@pytest.mark.parametrize(("space", "arch"), ONE_MAP)
def test_a_plain_vit_gives_one_map(space, arch):
    backbone = backbone_of(space, arch)
    assert backbone.feature_info.channels() == [24] and backbone.feature_info.reduction() == [16]
    model = tvtfast.build(arch, space=space, **OPTIONS)
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        (found,) = backbone(images)
        tokens = model.forward_features(images)[:, 1:]
    assert torch.equal(found, tokens.transpose(1, 2).unflatten(2, (4, 6)))


@pytest.mark.parametrize(
    ("space", "arch", "chosen", "kept", "strides"),
    [
        ("pit", PIT, (0, 1), 2, [8, 16]),
        ("pit", PIT, (-1,), 3, [32]),
        ("autoformer-tiny", VIT, (0, 1), 2, [16, 16]),
        ("vitas-deit", DEIT, (-2,), 2, [16]),
    ],
)
def test_others_are_chosen_and_the_rest_is_dropped(space, arch, chosen, kept, strides):
    backbone = backbone_of(space, arch, out_indices=chosen)
    maps = backbone(torch.randn(1, 3, 64, 96))
    assert backbone.feature_info.reduction() == strides and len(maps) == len(chosen)
    assert [x.shape[1] for x in maps] == backbone.feature_info.channels()
    assert len(backbone.model.stages if space == "pit" else backbone.model.blocks) == kept
    sum(x.sum() for x in maps).backward()
    assert all(parameter.grad is not None for parameter in backbone.parameters())


def test_a_published_model_by_name():
    backbone = timm.create_model(
        "tvtfast_student", arch="pit-ti", img_size=64, num_classes=2, features_only=True
    )
    assert backbone.feature_info.channels() == [64, 128, 256]


def test_a_model_that_does_not_describe_its_features(monkeypatch):
    from tvtfast.models import PiT

    monkeypatch.delattr(PiT, "feature_info")
    with pytest.raises(ValueError, match="PiT does not describe its features .feature_info"):
        backbone_of("pit", PIT)
    assert issubclass(PiT, CandidateModel)
