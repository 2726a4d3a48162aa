"""PiT candidates."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import tvtfast
from tvtfast import spaces

PIT = spaces.get("pit")
ARCH = {"base_dim": 16, "mlp_ratio": 2, "depth": [1, 6, 6], "num_heads": [2, 2, 4]}


def formula(model, images):
    """Tokens after the last block and logits, stage by stage with functional calls."""
    state, heads = model.state_dict(), model.arch.num_heads
    stride = model.options.patch_size // 2
    x = F.conv2d(images, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], stride)
    x = x + state["pos_embed"]
    prefix = torch.cat([state[k] for k in ("cls_token", "dist_token") if k in state], dim=1)
    prefix = prefix.repeat(len(images), 1, 1)
    for stage, depth in enumerate(model.arch.depth):
        if stage:
            pool = f"pools.{stage - 1}."
            x = F.conv2d(
                x, state[pool + "conv.weight"], state[pool + "conv.bias"], 2, 1, groups=x.shape[1]
            )
            prefix = F.linear(prefix, state[pool + "fc.weight"], state[pool + "fc.bias"])
        side = x.shape[2:]
        tokens = torch.cat((prefix, x.flatten(2).mT), dim=1)
        for block in range(depth):
            name = f"stages.{stage}.{block}."

            def norm(which, t, name=name):
                weight, bias = state[f"{name}{which}.weight"], state[f"{name}{which}.bias"]
                return F.layer_norm(t, t.shape[-1:], weight, bias, eps=1e-6)

            def linear(which, t, name=name):
                return F.linear(t, state[f"{name}{which}.weight"], state[f"{name}{which}.bias"])

            qkv = linear("attn.qkv", norm("norm1", tokens)).chunk(3, dim=-1)
            q, k, v = (t.unflatten(-1, (heads[stage], -1)).transpose(1, 2) for t in qkv)
            weights = (q @ k.mT * q.shape[-1] ** -0.5).softmax(-1)
            tokens = tokens + linear("attn.proj", (weights @ v).transpose(1, 2).flatten(2))
            hidden = F.gelu(linear("mlp.fc1", norm("norm2", tokens)))
            tokens = tokens + linear("mlp.fc2", hidden)
        count = prefix.shape[1]
        prefix, x = tokens[:, :count], tokens[:, count:].mT.unflatten(2, side)
    normed = F.layer_norm(
        prefix, prefix.shape[-1:], state["norm.weight"], state["norm.bias"], eps=1e-6
    )
    logits = F.linear(normed[:, 0], state["head.weight"], state["head.bias"])
    if model.options.distilled:
        other = F.linear(normed[:, 1], state["head_dist.weight"], state["head_dist.bias"])
        logits = (logits + other) / 2
    return tokens, logits


@pytest.mark.parametrize(
    "options",
    [
        {"img_size": 32, "patch_size": 4},
        {"img_size": (40, 32), "patch_size": 8, "distilled": True, "num_classes": 3},
    ],
)
def test_model_equals_the_formula_and_its_counts(options):
    model = tvtfast.build(ARCH, space=PIT, **options).double()
    images = torch.randn(2, 3, *model.options.img_size, dtype=torch.float64)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.02)
        tokens, logits = formula(model, images)
        features = list(model.block_features(images))
        torch.testing.assert_close(features[-1].x, tokens, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(model(images), logits, rtol=1e-9, atol=1e-9)
    assert len(features) == 13
    assert sum(p.numel() for p in model.parameters()) == PIT.params(ARCH, **options)
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        model(images[:1])
    assert counter.get_total_flops() == PIT.flops(ARCH, **options)


def test_published_grids_and_widths():
    model = tvtfast.build(ARCH, space=PIT)
    with torch.no_grad():
        maps = model.forward_intermediates(torch.zeros(1, 3, 224, 224), intermediates_only=True)
    assert [tuple(m.shape[1:]) for m in (maps[0], maps[1], maps[-1])] == [
        (32, 27, 27),
        (32, 14, 14),
        (64, 7, 7),
    ]
