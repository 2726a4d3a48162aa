"""As-ViT candidates against the formulas, written out in fp64 window by window."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import tvtfast
from tvtfast import spaces
from tvtfast.models import last_features
from tvtfast.models.asvit import OverlapPatchEmbed, PatchMerging, WindowAttention
from tvtfast.spaces.asvit import LARGEST, SEED, sampled_size, token_grids

ASVIT = spaces.get("asvit")
GROWN = replace(SEED, heads=16, depths=(2, 1, 2, 1), width=20)
SPLIT = "5,8,2|3,4,3|2,2,4|3,1,6|64"
CASES = [
    (SEED, {"img_size": 64}),
    (SPLIT, {"img_size": 32, "distilled": True, "num_classes": 3}),
    (GROWN, {"img_size": (36, 50), "num_classes": 7, "in_chans": 4}),
]
cases = pytest.mark.parametrize(("arch", "options"), CASES, ids=["seed", "split", "grown"])


def linear(state, name, x):
    y = x @ state[name + ".weight"].T
    return y + state[name + ".bias"] if name + ".bias" in state else y


def norm(state, name, x):
    mean = x.mean(-1, keepdim=True)
    variance = ((x - mean) ** 2).mean(-1, keepdim=True)
    weight, bias = state[name + ".weight"], state[name + ".bias"]
    return (x - mean) / torch.sqrt(variance + 1e-5) * weight + bias


def window_attention(state, name, x, heads, split):
    """``x`` is ``[B, h, w, C]``; every window and head by itself, over tokens that exist."""
    batch, height, width, dim = x.shape
    head_dim = dim // heads
    inner = heads * head_dim
    qkv = linear(state, name + ".qkv", x)
    out = torch.zeros(batch, height, width, inner, dtype=x.dtype)
    rows, columns = math.ceil(height / split), math.ceil(width / split)
    for top in range(0, height, rows):
        for left in range(0, width, columns):
            window = qkv[:, top : top + rows, left : left + columns]
            shape = window.shape[1:3]
            tokens = window.reshape(batch, -1, 3 * inner)
            for head in range(heads):
                q, k, v = (
                    tokens[..., part * inner + head * head_dim :][..., :head_dim]
                    for part in range(3)
                )
                weights = torch.softmax(q @ k.mT / math.sqrt(head_dim), dim=-1)
                place = out[:, top : top + rows, left : left + columns]
                place[..., head * head_dim : (head + 1) * head_dim] = (weights @ v).reshape(
                    batch, *shape, head_dim
                )
    return linear(state, name + ".proj", out)


def merging(state, name, x, kernel):
    """Neighbourhoods gathered token by token."""
    batch, height, width, dim = x.shape
    before = (kernel - 2) // 2
    grid = math.ceil(height / 2), math.ceil(width / 2)
    found = torch.zeros(batch, *grid, dim, kernel, kernel, dtype=x.dtype)
    for i in range(grid[0]):
        for j in range(grid[1]):
            for a in range(kernel):
                for b in range(kernel):
                    y, z = 2 * i + a - before, 2 * j + b - before
                    if 0 <= y < height and 0 <= z < width:
                        found[:, i, j, :, a, b] = x[:, y, z]
    return linear(state, name + ".reduction", norm(state, name + ".norm", found.flatten(3)))


def formula(model, images):
    """Outputs of all blocks as maps ``[B, h, w, C]``, and the logits."""
    state, arch = model.state_dict(), model.arch
    kernel = arch.kernels[0]
    before = (kernel - 4) // 2
    after = [kernel + -side % 4 for side in images.shape[2:]]
    padded = F.pad(images, (before, after[1], before, after[0]))
    grid = [math.ceil(side / 4) for side in images.shape[2:]]
    weight = state["patch_embed.proj.weight"]
    patches = padded.unfold(2, kernel, 4).unfold(3, kernel, 4)[:, :, : grid[0], : grid[1]]
    x = torch.einsum("bchwij,dcij->bhwd", patches, weight) + state["patch_embed.proj.bias"]
    x = norm(state, "patch_embed.norm", x)
    outputs = []
    for stage in range(4):
        if stage:
            x = merging(state, f"merges.{stage - 1}", x, arch.kernels[stage])
        for block in range(arch.depths[stage]):
            name = f"stages.{stage}.{block}"
            x = x + window_attention(
                state,
                f"{name}.attn",
                norm(state, f"{name}.norm1", x),
                arch.stage_heads[stage],
                arch.splits[stage],
            )
            hidden = linear(state, f"{name}.mlp.fc1", norm(state, f"{name}.norm2", x))
            hidden = hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2)))
            x = x + linear(state, f"{name}.mlp.fc2", hidden)
            outputs.append(x)
    pooled = torch.tanh(linear(state, "pre_logits.0", norm(state, "norm", x).mean((1, 2))))
    logits = linear(state, "head", pooled)
    if model.options.distilled:
        logits = (logits + linear(state, "head_dist", pooled)) / 2
    return outputs, logits


def shaken(model):
    """The model in fp64, every parameter moved, so that none is constant."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.double().parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.02)
    return model


def random_images(model, count=2):
    options = model.options
    return torch.randn(count, options.in_chans, *options.img_size, dtype=torch.float64)


@cases
@torch.no_grad()
def test_model_equals_the_formula(arch, options):
    model = shaken(tvtfast.build(arch, space=ASVIT, **options))
    images = random_images(model)
    outputs, logits = formula(model, images)
    features = list(model.block_features(images))
    assert len(features) == len(outputs)
    for ours, truth in zip(features, outputs, strict=True):
        assert ours.size == truth.shape[1:3]
        torch.testing.assert_close(ours.x, truth.flatten(1, 2), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(model(images), logits, rtol=1e-9, atol=1e-9)
    pooled = outputs[-1].mean((1, 2))
    torch.testing.assert_close(model.pooled_features(images), pooled, rtol=1e-9, atol=1e-9)


@cases
@pytest.mark.parametrize("img_size", [None, (16, 40), 8])
def test_closed_form_counts_equal_the_built_model(arch, options, img_size):
    options = options | ({"img_size": img_size, "patch_size": 4} if img_size else {})
    model = tvtfast.build(arch, space=ASVIT, **options)
    assert sum(p.numel() for p in model.parameters()) == ASVIT.params(arch, **options)
    assert counted(model) == ASVIT.flops(arch, **options)


def counted(model):
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        model(random_images(model, 1).float())
    return counter.get_total_flops()


def test_counts_of_the_published_models_equal_built_ones():
    with torch.device("meta"):
        large = tvtfast.models.AsViT(LARGEST, ASVIT, spaces.ModelOptions(num_classes=1000))
    assert sum(p.numel() for p in large.parameters()) == 87_580_820
    seed = tvtfast.build(SEED, space=ASVIT, num_classes=1000)
    assert counted(seed) == ASVIT.flops(SEED, num_classes=1000)


@pytest.mark.parametrize("kernel", [2, 3, 4])
@pytest.mark.parametrize("grid", [(6, 4), (5, 7), (1, 1)])
@torch.no_grad()
def test_merging_is_unfold_norm_and_projection(kernel, grid):
    layer = PatchMerging(3, 5, kernel).double()
    x = torch.randn(2, grid[0] * grid[1], 3, dtype=torch.float64)
    before, after = (kernel - 2) // 2, (kernel - 1) // 2
    pad = nn.ZeroPad2d((before, after + grid[1] % 2, before, after + grid[0] % 2))
    unfolded = nn.Unfold(kernel, stride=2)(pad(x.mT.unflatten(2, grid))).mT
    torch.testing.assert_close(
        layer(x, grid),
        layer.reduction(F.layer_norm(unfolded, unfolded.shape[-1:])),
        rtol=1e-12,
        atol=1e-12,
    )


@pytest.mark.parametrize("split", [1, 2, 4])
@pytest.mark.parametrize("grid", [(8, 8), (4, 8), (7, 5), (3, 2), (1, 1)])
@torch.no_grad()
def test_windows_equal_attention_window_by_window(split, grid):
    layer = WindowAttention(dim=10, num_heads=4, split=split).double()
    x = torch.randn(3, *grid, 10, dtype=torch.float64)
    truth = window_attention({f"a.{k}": v for k, v in layer.state_dict().items()}, "a", x, 4, split)
    torch.testing.assert_close(
        layer(x.flatten(1, 2), grid), truth.flatten(1, 2), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("dilation", [2, 3, 4])
@pytest.mark.parametrize("kernel", [4, 5, 8])
@pytest.mark.parametrize("size", [(48, 96), (30, 41)])
@torch.no_grad()
def test_coarse_tokens_are_a_dilated_convolution_of_the_same_weights(dilation, kernel, size):
    layer = OverlapPatchEmbed(3, 6, kernel).double()
    images = torch.randn(2, 3, *size, dtype=torch.float64)
    grid = token_grids(sampled_size(size, dilation))[0]
    first, before = (dilation - 1) // 2, (kernel - 4) // 2 * dilation
    framed = F.pad(images, (before - first, 8 * dilation, before - first, 8 * dilation))
    tokens = (
        F.conv2d(
            framed, layer.proj.weight, layer.proj.bias, stride=4 * dilation, dilation=dilation
        )[..., : grid[0], : grid[1]]
        .flatten(2)
        .mT
    )
    torch.testing.assert_close(
        layer(images, dilation), F.layer_norm(tokens, (6,)), rtol=1e-12, atol=1e-12
    )


@torch.no_grad()
def test_dilation_changes_no_weight_and_can_be_taken_back():
    model = tvtfast.build(SEED, space=ASVIT, img_size=64)
    images = torch.randn(2, 3, 64, 64)
    before, weights = model(images), {k: v.clone() for k, v in model.state_dict().items()}
    model.set_dilation(4)
    coarse = list(model.block_features(images))
    assert [f.size for f in coarse] == [(4, 4), (2, 2), (1, 1), (1, 1)]
    model.set_dilation()
    assert torch.equal(model(images), before)
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    with pytest.raises(ValueError, match="dilation is 0"):
        model.set_dilation(0)


@torch.no_grad()
def test_norms_are_switched_off_and_on_without_touching_weights():
    model = shaken(tvtfast.build(GROWN, space=ASVIT, img_size=32))
    images = random_images(model)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    normed = model(images)
    model.set_norm("identity")
    bare = model.pooled_features(images)
    torch.testing.assert_close(bare, without_norms(model)(images), rtol=1e-12, atol=1e-12)
    assert not torch.allclose(model(images), normed)
    model.set_norm("layer")
    assert torch.equal(model(images), normed)
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    with pytest.raises(ValueError, match="norm is 'none'; allowed: layer, identity"):
        model.set_norm("none")


def without_norms(model):
    """The pooled feature of a copy that has no norm layers at all."""
    bare = tvtfast.build(model.arch, space=ASVIT, img_size=32).double()
    bare.load_state_dict(model.state_dict())
    for module in list(bare.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.LayerNorm):
                setattr(module, name, nn.Identity())
    return bare.pooled_features


def test_weights_are_drawn_as_published():
    model = tvtfast.build(SEED, space=ASVIT)
    state = model.state_dict()
    assert state["merges.2.reduction.weight"].std() == pytest.approx(0.02, rel=0.01)
    assert state["patch_embed.proj.weight"].abs().max() <= 1 / math.sqrt(3 * 64)
    assert state["patch_embed.proj.bias"].any()
    assert not any(
        value.any()
        for name, value in state.items()
        if name.endswith("bias") and "norm" not in name and "patch_embed" not in name
    )


def test_grown_candidates_share_the_weights_of_their_seed():
    seed = tvtfast.build(SEED, space=ASVIT).state_dict()
    larger = tvtfast.build(replace(SEED, depths=(2, 2, 1, 1), width=40), space=ASVIT).state_dict()
    for name, weight in seed.items():
        if name == "patch_embed.proj.weight" or "qkv" not in name and "norm" not in name:
            part = larger[name][tuple(slice(side) for side in weight.shape)]
            assert torch.equal(part, weight), name
    q, k, v = larger["stages.3.0.attn.qkv.weight"].chunk(3)
    part = torch.cat([x[:256, :256] for x in (q, k, v)])
    assert torch.equal(part, seed["stages.3.0.attn.qkv.weight"])


@torch.no_grad()
def test_images_of_any_size():
    model = tvtfast.build(SEED, space=ASVIT, img_size=64)
    for size in ((64, 64), (33, 70), (8, 8), (1, 1)):
        images = torch.randn(1, 3, *size)
        assert model(images).shape == (1, 100)
        assert last_features(model, images).size == token_grids(size)[3]
    with pytest.raises(ValueError, match=r"images \[B, 3, H, W\] of any size, got \[1, 1, 8, 8\]"):
        model(torch.zeros(1, 1, 8, 8))


def test_stages_speak_timm():
    model = tvtfast.build(GROWN, space=ASVIT, img_size=64)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        final, maps = model.forward_intermediates(images)
        blocks = [f.x for f in model.block_features(images)]
    assert [tuple(m.shape[1:]) for m in maps] == [(20, 16, 16), (40, 8, 8), (80, 4, 4), (160, 2, 2)]
    assert torch.equal(final, blocks[-1])
    for stage, last in zip(maps, (1, 2, 4, 5), strict=True):
        assert torch.equal(stage.flatten(2).mT, blocks[last])


def test_stochastic_depth_rises_over_all_blocks():
    model = tvtfast.build(GROWN, space=ASVIT, img_size=32, drop_path_rate=0.3)
    rates = [getattr(b.drop_path, "drop_prob", 0.0) for stage in model.stages for b in stage]
    assert rates == pytest.approx([0.3 * block / 5 for block in range(6)])


def test_distilled_training_returns_both_heads():
    model = tvtfast.build(SEED, space=ASVIT, img_size=32, distilled=True, num_classes=5)
    model.train().set_distilled_training()
    logits, distilled = model(torch.randn(2, 3, 32, 32))
    assert logits.shape == distilled.shape == (2, 5)
    assert not distilled.any(), "the distillation head starts at zero"


def test_candidates_train_compile_and_differentiate():
    model = tvtfast.build(SPLIT, space=ASVIT, img_size=36).train()
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    torch.manual_seed(0)
    compiled(torch.randn(2, 3, 36, 36)).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
