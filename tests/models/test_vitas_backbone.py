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


ARCH = {
    "embed_dim": [8, 12, 16, 20],
    "depth": [2, 1, 2, 1],
    "attention": ["local", "global", "global", "local", "global", "local"],
    "num_heads": [1, 2, 2, 1, 2, 1],
    "qkv_dim": [12, 12, 12, 24, 24, 12],
    "mlp_dim": [8, 8, 8, 8, 8, 8],
}


@pytest.mark.parametrize("size", [(256, 320), (224, 448)])
def test_maps_of_another_size_are_those_of_a_model_built_for_it(size):
    built = tvtfast.build(ARCH, space=SPACE, img_size=224, seed=2)
    other = tvtfast.build(ARCH, space=SPACE, img_size=size, seed=2)
    backbone = timm.create_model(
        "tvtfast_student", space="vitas-twins", arch=ARCH, img_size=224, features_only=True
    ).eval()
    backbone.model.load_state_dict(built.state_dict(), strict=False)
    images = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = other.forward_intermediates(images, intermediates_only=True)
        for found, map_ in zip(backbone(images), expected, strict=True):
            assert torch.equal(found, map_)
        assert torch.equal(built(images), other(images))
    assert [x.shape[2:] for x in expected] == [
        tuple(side // stride for side in size) for stride in (4, 8, 16, 32)
    ]


@pytest.mark.parametrize("size", [(230, 300), (61, 130), (3, 5)])
def test_sizes_that_do_not_divide_are_padded_with_zeros(size):
    model = tvtfast.build(ARCH, space=SPACE, img_size=224)
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0)).requires_grad_()
    maps = model.forward_intermediates(images, intermediates_only=True)
    assert [tuple(x.shape[2:]) for x in maps] == [
        tuple(-(-side // stride) for side in size) for stride in (4, 8, 16, 32)
    ]
    sum(x.square().sum() for x in maps).backward()
    assert (images.grad != 0).all()  # no pixel is left out
    rows = -size[0] % 4, -size[1] % 4
    padded = torch.nn.functional.pad(images.detach(), (0, rows[1], 0, rows[0]))
    with torch.no_grad():
        again = model.forward_intermediates(padded, intermediates_only=True)
    assert all(torch.equal(x, y) for x, y in zip(maps, again, strict=True))


def test_images_that_are_none():
    model = tvtfast.build(ARCH, space=SPACE, img_size=64)
    with pytest.raises(ValueError, match="images .B, 3, H, W. of any size, got .1, 4, 64"):
        model(torch.zeros(1, 4, 64, 64))
