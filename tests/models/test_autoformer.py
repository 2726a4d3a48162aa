"""AutoFormer candidates against the formulas, written out in fp64."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import tvtfast
from tvtfast import spaces

TINY = spaces.get("autoformer-tiny")
ORIGINAL = spaces.get("autoformer-original-tiny")
CASES = [
    (TINY, {"img_size": 32, "patch_size": 8}),
    (TINY, {"img_size": (48, 32), "patch_size": 16, "distilled": True, "num_classes": 7}),
    (ORIGINAL, {"img_size": (24, 40), "patch_size": 8}),
    (ORIGINAL, {"img_size": 32, "patch_size": 8, "distilled": True}),
]
cases = pytest.mark.parametrize(
    ("space", "options"), CASES, ids=["plain", "plain-distilled", "relative", "relative-distilled"]
)


def layer_norm(x, weight, bias):
    mean = x.mean(-1, keepdim=True)
    variance = ((x - mean) ** 2).mean(-1, keepdim=True)
    return (x - mean) / torch.sqrt(variance + 1e-6) * weight + bias


def attention(x, state, prefix, heads, grid, relative):
    batch, tokens, _ = x.shape
    qkv = x @ state[prefix + "qkv.weight"].T + state[prefix + "qkv.bias"]
    q, k, v = (
        part.reshape(batch, tokens, heads, -1).transpose(1, 2) for part in qkv.chunk(3, dim=-1)
    )
    logits = torch.einsum("bhid,bhjd->bhij", q, k)
    if relative:
        keys = pairs(state, prefix + "key", tokens, grid)
        logits = logits + torch.einsum("bhid,ijd->bhij", q, keys)
    weights = torch.softmax(logits / math.sqrt(q.shape[-1]), dim=-1)
    out = torch.einsum("bhij,bhjd->bhid", weights, v)
    if relative:
        values = pairs(state, prefix + "value", tokens, grid)
        out = out + torch.einsum("bhij,ijd->bhid", weights, values)
    out = out.transpose(1, 2).reshape(batch, tokens, -1)
    return out @ state[prefix + "proj.weight"].T + state[prefix + "proj.bias"]


def pairs(state, name, tokens, grid):
    """The vector of every pair of tokens, looked up one by one."""
    first = tokens - grid[0] * grid[1]
    rows, columns = state[f"{name}_rows"], state[f"{name}_columns"]
    table = torch.empty(tokens, tokens, rows.shape[1], dtype=rows.dtype)
    for i in range(tokens):
        for j in range(tokens):
            if i < first or j < first:
                table[i, j] = rows[0] + columns[0]
                continue
            (y, x), (v, u) = divmod(i - first, grid[1]), divmod(j - first, grid[1])
            down = min(max(v - y, -14), 14) + 15
            right = min(max(u - x, -14), 14) + 15
            table[i, j] = rows[down] + columns[right]
    return table


def formula(model, images):
    """Tokens after every block, and the logits."""
    state = {name: value.double() for name, value in model.state_dict().items()}
    images, patch = images.double(), model.options.patch_size
    grid = tuple(side // patch for side in model.options.img_size)
    patches = images.unfold(2, patch, patch).unfold(3, patch, patch).flatten(4)
    patches = torch.einsum("bchwk,dck->bhwd", patches, state["patch_embed.proj.weight"].flatten(2))
    x = patches.flatten(1, 2) + state["patch_embed.proj.bias"]
    prefix = torch.cat([state[k] for k in ("cls_token", "dist_token") if k in state], dim=1)
    prefix = prefix.repeat(len(images), 1, 1)
    x = torch.cat((prefix, x), dim=1) + state["pos_embed"]
    outputs = []
    for block, heads in enumerate(model.arch.num_heads):
        name = f"blocks.{block}."
        relative = name + "attn.key_rows" in state
        normed = layer_norm(x, state[name + "norm1.weight"], state[name + "norm1.bias"])
        x = x + attention(normed, state, name + "attn.", heads, grid, relative)
        normed = layer_norm(x, state[name + "norm2.weight"], state[name + "norm2.bias"])
        hidden = normed @ state[name + "mlp.fc1.weight"].T + state[name + "mlp.fc1.bias"]
        hidden = hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2)))
        x = x + hidden @ state[name + "mlp.fc2.weight"].T + state[name + "mlp.fc2.bias"]
        outputs.append(x)
    pooled = layer_norm(x, state["norm.weight"], state["norm.bias"])[:, 1:].mean(1)
    logits = pooled @ state["head.weight"].T + state["head.bias"]
    if model.options.distilled:
        logits = (logits + pooled @ state["head_dist.weight"].T + state["head_dist.bias"]) / 2
    return outputs, logits


@cases
def test_model_equals_the_formula(space, options):
    arch = space.sample(1, 2)[0]
    model = tvtfast.build(arch, space=space, **options)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.02)
        images = torch.randn(2, 3, *model.options.img_size)
        outputs, logits = formula(model, images)
        features = list(model.double().block_features(images.double()))
        assert len(features) == arch.depth
        for ours, truth in zip(features, outputs, strict=True):
            torch.testing.assert_close(ours.x, truth, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(model(images.double()), logits, rtol=1e-9, atol=1e-9)


@cases
def test_closed_form_counts_equal_the_built_model(space, options):
    for seed in range(3):
        arch = space.sample(1, seed)[0]
        model = tvtfast.build(arch, space=space, **options)
        assert sum(p.numel() for p in model.parameters()) == space.params(arch, **options)
        counter = FlopCounterMode(display=False)
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
            model(torch.zeros(1, 3, *model.options.img_size))
        assert counter.get_total_flops() == space.flops(arch, **options)


def test_intermediates_speak_timm():
    model = tvtfast.build(TINY.sample(1)[0], space=TINY, img_size=(32, 48), patch_size=16)
    images = torch.randn(2, 3, 32, 48)
    with torch.no_grad():
        final, maps = model.forward_intermediates(images)
        tokens = model.forward_intermediates(
            images, indices=[-1], output_fmt="NLC", intermediates_only=True
        )
        last = model.forward_intermediates(images, indices=1, intermediates_only=True)
    width = model.arch.hidden_dim
    assert len(maps) == model.arch.depth
    assert maps[0].shape == (2, width, 2, 3)
    assert final.shape == (2, 7, width)
    torch.testing.assert_close(tokens[0], final[:, 1:], rtol=0, atol=0)
    torch.testing.assert_close(last[0].flatten(2).mT, final[:, 1:], rtol=0, atol=0)
    with pytest.raises(ValueError, match="allowed: NCHW, NLC"):
        model.forward_intermediates(images, output_fmt="NHWC")
    with pytest.raises(ValueError, match="norm=True is not supported"):
        model.forward_intermediates(images, norm=True)


def test_distilled_training_returns_both_heads():
    model = tvtfast.build(TINY.sample(1)[0], space=TINY, img_size=32, distilled=True, num_classes=5)
    images = torch.randn(2, 3, 32, 32)
    model.set_distilled_training()
    assert model(images).shape == (2, 5)
    logits, distilled = model.train()(images)
    assert logits.shape == distilled.shape == (2, 5)
    assert not distilled.any(), "the distillation head starts at zero"


def test_images_of_another_size_are_refused():
    model = tvtfast.build(TINY.sample(1)[0], space=TINY, img_size=32)
    with pytest.raises(
        ValueError, match=r"built for images \[B, 3, 32, 32\], got \[1, 3, 64, 64\]"
    ):
        model(torch.zeros(1, 3, 64, 64))


def test_stochastic_depth_rises_linearly():
    model = tvtfast.build(TINY.sample(1)[0], space=TINY, img_size=32, drop_path_rate=0.3)
    rates = [getattr(block.drop_path1, "drop_prob", 0.0) for block in model.blocks]
    steps = len(rates) - 1
    assert rates == pytest.approx([0.3 * block / steps for block in range(len(rates))])


@pytest.mark.slow
@pytest.mark.parametrize("space", [TINY, ORIGINAL], ids=lambda space: space.name)
def test_candidates_train_compile_and_differentiate(space):
    model = tvtfast.build(space.sample(1)[0], space=space, img_size=16, patch_size=8).train()
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    images = torch.randn(2, 3, 16, 16)
    torch.manual_seed(0)
    compiled(images).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
