"""A candidate of ``vitas-twins`` as a backbone that timm makes."""

from __future__ import annotations

import pytest
import timm
import torch

import tvtfast

SPACE = tvtfast.spaces.get("vitas-twins")


def options(arch):
    return {"space": "vitas-twins", "arch": arch, "img_size": 64}


@pytest.fixture(scope="module")
def arch():
    return SPACE.to_dict(SPACE.sample(1, 3)[0])


def test_four_stages_with_channels_and_strides(arch):
    backbone = timm.create_model("tvtfast_student", features_only=True, **options(arch)).eval()
    assert backbone.feature_info.channels() == list(arch["embed_dim"])
    assert backbone.feature_info.reduction() == [4, 8, 16, 32]
    images = torch.randn(2, 3, 64, 64)
    model = tvtfast.build(arch, space=SPACE, img_size=64).eval()
    with torch.no_grad():
        maps, blocks = backbone(images), list(model.block_features(images))
    assert [x.shape[2:] for x in maps] == [(16, 16), (8, 8), (4, 4), (2, 2)]
    ends = [sum(model.arch.depth[: stage + 1]) - 1 for stage in range(4)]
    for found, end in zip(maps, ends, strict=True):
        expected = blocks[end].x.transpose(1, 2).unflatten(2, blocks[end].grid)
        assert torch.equal(found, expected)


def test_strides_follow_the_patch_size(arch):
    model = tvtfast.build(arch, space=SPACE, img_size=32, patch_size=8)
    images = torch.randn(1, 3, 32, 32)
    for described, found in zip(
        model.feature_info, model.forward_intermediates(images)[1], strict=True
    ):
        assert found.shape[1:] == (described["num_chs"], *2 * (32 // described["reduction"],))


@pytest.mark.parametrize(
    ("chosen", "stages", "kept"), [((1, 2), (1, 2), 3), ((-2, -1), (2, 3), 4), (1, (3,), 4)]
)
def test_stages_are_chosen_and_the_rest_is_dropped(arch, chosen, stages, kept):
    backbone = timm.create_model(
        "tvtfast_student", features_only=True, out_indices=chosen, **options(arch)
    )
    maps = backbone(torch.randn(1, 3, 64, 64))
    assert backbone.feature_info.reduction() == [4 << stage for stage in stages]
    assert [x.shape[1] for x in maps] == backbone.feature_info.channels()
    assert len(backbone.model.blocks) == len(backbone.model.patch_embeds) == kept
    sum(x.sum() for x in maps).backward()
    assert all(parameter.grad is not None for parameter in backbone.parameters())
