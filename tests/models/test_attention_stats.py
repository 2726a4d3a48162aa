"""attention_stats against attention maps formed in the open."""

from __future__ import annotations

import pytest
import timm
import torch
import torch.nn.functional as F

import tvtfast
from tvtfast import spaces
from tvtfast.kernels.self_attention_stats.definition import STATISTICS
from tvtfast.models import attention_stats
from tvtfast.models.relative_positions import relative_distances


def recorded_inputs(model, names, images):
    """Arguments every attention module is called with."""
    inputs = {}
    modules = dict(model.named_modules())

    def keep(name):
        return lambda module, arguments: inputs.__setitem__(name, arguments)

    handles = [modules[name].register_forward_pre_hook(keep(name)) for name in names]
    with torch.no_grad():
        model(images)
    for handle in handles:
        handle.remove()
    return inputs


@pytest.mark.parametrize("fused", (True, False))
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("vit_tiny_patch16_224", {}),
        ("vit_tiny_patch16_224", {"qk_norm": True, "reg_tokens": 2}),
        ("deit_tiny_distilled_patch16_224", {}),
    ],
)
def test_timm(name, options, fused, spread, assert_stats):
    """Against the maps that timm itself forms where fused attention is off."""
    size = {"img_size": 64, "patch_size": 16, "depth": 2}
    model = spread(timm.create_model(name, **size, **options))
    images, teacher_map = torch.randn(2, 3, 64, 64), torch.rand(2, 16)
    maps = {}
    for index, block in enumerate(model.blocks):
        block.attn.fused_attn = False
        block.attn.attn_drop.register_forward_hook(
            lambda module, inputs, output, name=f"blocks.{index}.attn": maps.update({name: output})
        )
    with torch.no_grad():
        expected = model(images)
    for block in model.blocks:
        block.attn.fused_attn = fused
    found = attention_stats(model, images, statistics=STATISTICS, teacher_map=teacher_map)
    assert list(found) == list(maps) == ["blocks.0.attn", "blocks.1.attn"]
    teacher = F.pad(teacher_map, (model.num_prefix_tokens, 0))
    for block, weights in maps.items():
        assert weights.shape[-1] == model.num_prefix_tokens + 16
        assert_stats(found[block], weights, teacher)
    with torch.no_grad():
        torch.testing.assert_close(model(images), expected)
    assert not any(m._forward_pre_hooks for m in model.modules())


def relative_logits(module, q, k, grid):
    """``q_i . (k_j + r(i, j))`` with the vector of every pair written out."""
    rows, columns = relative_distances(grid, q.shape[2], module.max_distance, q.device)
    pairs = module.key_rows[rows] + module.key_columns[columns]
    return q @ k.mT + torch.einsum("bhid,ijd->bhij", q, pairs)


@pytest.mark.parametrize("distilled", (False, True))
@pytest.mark.parametrize("space", ("autoformer-tiny", "autoformer-original-tiny", "pit"))
def test_candidates(space, distilled, spread, assert_stats):
    space = spaces.get(space)
    options = {"img_size": (24, 40), "patch_size": 8, "distilled": distilled}
    model = spread(tvtfast.build(space.sample(1, seed=0)[0], space=space, **options))
    images = torch.randn(2, 3, 24, 40)
    found = attention_stats(model, images, statistics=STATISTICS)
    assert len(found) == len(list(model.block_features(images)))
    inputs = recorded_inputs(model, found, images)
    for name, actual in found.items():
        module = model.get_submodule(name)
        with torch.no_grad():
            q, k, _ = module._heads(inputs[name][0])
            if hasattr(module, "key_rows"):
                logits = relative_logits(module, q, k, inputs[name][1])
            else:
                logits = q @ k.mT
            weights = (logits * module.head_dim**-0.5).softmax(-1)
        assert_stats(actual, weights)


def test_only_what_is_asked_for():
    space = spaces.get("autoformer-tiny")
    model = tvtfast.build(space.sample(1, seed=0)[0], space=space, img_size=16, patch_size=8)
    for found in attention_stats(model, torch.randn(1, 3, 16, 16)).values():
        assert found.head_mean is None and found.teacher_products is None
        assert found.class_row.shape == found.row_entropy.shape
        assert not found.class_row.requires_grad
