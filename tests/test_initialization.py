"""Index-keyed initialisation of whole modules."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats
from torch import nn

import tvtfast
from tvtfast import spaces
from tvtfast.models import CifarResNet

TINY = spaces.get("autoformer-tiny")
OPTIONS = {"space": TINY, "img_size": 32, "patch_size": 8}


def arch(width, depth=12, ratio=4.0):
    return {
        "hidden_dim": width,
        "depth": depth,
        "mlp_ratio": [ratio] * depth,
        "num_heads": [3] * depth,
    }


def shared_part(wide, narrow, groups):
    if groups > 1:
        wide, narrow = (t.unflatten(0, (groups, -1)) for t in (wide, narrow))
    return wide[tuple(slice(size) for size in narrow.shape)], narrow


def test_widths_share_every_weight_at_common_indices():
    """The wider, deeper model holds the narrower one, bit for bit, with q, k and v lined up."""
    wide = tvtfast.build(arch(240, 14, 4.0), seed=5, **OPTIONS).state_dict()
    narrow = tvtfast.build(arch(192, 12, 3.5), seed=5, **OPTIONS).state_dict()
    compared = 0
    for name, weight in narrow.items():
        large, small = shared_part(wide[name], weight, groups=3 if ".qkv." in name else 1)
        assert torch.equal(large, small), name
        compared += small.numel()
    assert compared == TINY.params(arch(192, 12, 3.5), img_size=32, patch_size=8)


def test_seeds_and_names_are_unrelated():
    first, again, other = (tvtfast.build(arch(192), seed=s, **OPTIONS) for s in (0, 0, 1))
    weights = [dict(m.named_parameters())["blocks.0.mlp.fc1.weight"] for m in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    correlation = torch.corrcoef(torch.stack((weights[0].flatten(), weights[2].flatten())))[0, 1]
    assert abs(correlation) < 5 / math.sqrt(weights[0].numel())
    deeper = dict(first.named_parameters())["blocks.1.mlp.fc1.weight"]
    correlation = torch.corrcoef(torch.stack((weights[0].flatten(), deeper.flatten())))[0, 1]
    assert abs(correlation) < 5 / math.sqrt(deeper.numel())


def test_published_distributions():
    """AutoFormer: N(0, 0.02^2) linear weights, zero biases, framework default in the stem."""
    model = tvtfast.build(arch(240), seed=1, **OPTIONS)
    state = dict(model.named_parameters())
    for name in ("blocks.3.attn.qkv.weight", "head.weight", "pos_embed", "cls_token"):
        assert stats.kstest(state[name].flatten().detach() / 0.02, "norm").pvalue > 0.01, name
    bound = 1 / math.sqrt(3 * 8 * 8)
    scaled = state["patch_embed.proj.weight"].flatten().detach() / bound
    assert stats.kstest(scaled, "uniform", args=(-1, 2)).pvalue > 0.01
    assert state["patch_embed.proj.bias"].abs().max() <= bound
    for name, parameter in state.items():
        if name.endswith("bias") and "patch_embed" not in name:
            assert not parameter.any(), name
        if "norm" in name and name.endswith("weight"):
            assert (parameter == 1).all(), name


def test_pit_keeps_framework_defaults_and_shares_the_variates():
    space = spaces.get("pit")
    models = [
        tvtfast.build(
            {"base_dim": base, "mlp_ratio": 2, "depth": [1, 6, 6], "num_heads": [2, 2, 2]},
            space=space,
            img_size=32,
            patch_size=4,
        )
        for base in (16, 32)
    ]
    small, large = (dict(m.named_parameters())["stages.0.0.attn.qkv.weight"] for m in models)
    wide, narrow = shared_part(large, small, groups=3)
    torch.testing.assert_close(wide * math.sqrt(64), narrow * math.sqrt(32), rtol=1e-6, atol=1e-7)
    assert (
        stats.kstest(small.flatten().detach() * math.sqrt(32), "uniform", args=(-1, 2)).pvalue
        > 0.01
    )


def test_any_module():
    """Framework defaults for known layers, 0.02 for free tensors, scales and statistics reset."""

    class Free(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv3d(2, 8, 3)
            self.norm = nn.BatchNorm3d(8)
            self.attention = nn.MultiheadAttention(64, 4)
            self.embedding = nn.Embedding(100, 32)
            self.token = nn.Parameter(torch.full((1, 1, 4096), 7.0))
            self.scale = nn.Parameter(torch.full((4,), 1e-5))
            self.tied = nn.Linear(64, 64, bias=False)
            self.same = self.tied

    module = Free()
    module.norm.running_mean.fill_(3.0)
    with torch.no_grad():
        module.norm.weight.fill_(2.0)
    assert tvtfast.initialize_(module, 5) is module
    state = {name: p.detach().flatten() for name, p in module.named_parameters()}
    bound = 1 / math.sqrt(2 * 27)
    assert stats.kstest(state["conv.weight"] / bound, "uniform", args=(-1, 2)).pvalue > 0.01
    packed = math.sqrt(6 / (4 * 64))
    assert (
        stats.kstest(state["attention.in_proj_weight"] / packed, "uniform", args=(-1, 2)).pvalue
        > 0.01
    )
    assert not state["attention.in_proj_bias"].any()
    assert stats.kstest(state["embedding.weight"], "norm").pvalue > 0.01
    assert stats.kstest(state["token"] / 0.02, "norm").pvalue > 0.01
    assert (state["scale"] == torch.tensor(1e-5)).all()
    assert (module.norm.weight == 1).all() and not module.norm.running_mean.any()


def test_a_wrapped_model_keeps_its_distributions():
    wrapped = nn.Sequential(tvtfast.build(arch(192), **OPTIONS))
    tvtfast.initialize_(wrapped, 0)
    assert wrapped[0].blocks[0].attn.qkv.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert not wrapped[0].blocks[0].attn.qkv.bias.any()


def test_resnet_distributions():
    model = tvtfast.initialize_(CifarResNet(20, 10), seed=0)
    std = model.layer3[0].conv2.weight.std().item()
    assert std == pytest.approx(math.sqrt(2 / (64 * 9)), rel=0.02)
    assert model.linear.weight.std().item() == pytest.approx(0.01, rel=0.1)


def test_dtype_and_grad_flags_survive():
    model = tvtfast.build(arch(192), **OPTIONS)
    half = tvtfast.initialize_(tvtfast.build(arch(192), **OPTIONS).to(torch.bfloat16), 0)
    weight, rounded = model.head.weight, half.head.weight
    assert rounded.dtype == torch.bfloat16 and rounded.requires_grad
    assert torch.equal(weight.to(torch.bfloat16), rounded)
