"""Checkpoints of the released code of ViTAS against its formulas, written down slowly."""

from __future__ import annotations

import math
import random

import pytest
import torch
from torch import nn

import tvtfast
from tvtfast import spaces
from tvtfast.models import CheckpointError, attention_stats, load_released_vitas
from tvtfast.population import Population
from tvtfast.supernet import Superformer, cut_out

SPACE = spaces.get("vitas-deit")
HEADS, QKV, MLP = SPACE.head_counts, SPACE.qkv_dims, SPACE.mlp_dims
BLOCKS = {1: (1, 2, 0), 4: (3, 5, 1), 5: (0, 0, 3)}
"""By slot the ids of heads, qkv width and MLP width; all other slots are identities."""

EMBED, CLASSES, SIDE = 1, 7, 64
GENOTYPE = [
    2,
    *(BLOCKS[slot][0] if slot in BLOCKS else 4 for slot in range(16)),
    0,
    0,
    EMBED,
    *(number for slot in range(16) for number in BLOCKS.get(slot, (9, 7, 8))[1:]),
]
DIM = SPACE.embed_dims[EMBED]


def released_weights():
    """Names and shapes as the released code has them."""
    generator = torch.Generator().manual_seed(0)
    shapes = {
        "init_stem_Patch_init_0.0.cls_token": (1, 1, DIM),
        "init_stem_Patch_init_0.0.pos_embed": (1, 1 + (SIDE // 32) ** 2, DIM),
        "init_stem_Patch_init_0.0.patch_embed.proj.weight": (DIM, 3, 32, 32),
        "init_stem_Patch_init_0.0.patch_embed.proj.bias": (DIM,),
        "Norm_Norm_0.0.weight": (DIM,),
        "Norm_Norm_0.0.bias": (DIM,),
        "FC_FC_0.0.module.0.weight": (CLASSES, DIM),
        "FC_FC_0.0.module.0.bias": (CLASSES,),
    }
    for slot, (_, qkv, mlp) in BLOCKS.items():
        root, inner, hidden = f"Block_Block_{slot}.0.", QKV[qkv], MLP[mlp]
        shapes |= {f"{root}norm{n}.{kind}": (DIM,) for n in (1, 2) for kind in ("weight", "bias")}
        shapes |= {f"{root}attn.qkv.weight": (inner, DIM), f"{root}attn.qkv.bias": (inner,)}
        shapes |= {f"{root}attn.proj.weight": (DIM, inner // 3), f"{root}attn.proj.bias": (DIM,)}
        shapes |= {f"{root}mlp.fc1.weight": (hidden, DIM), f"{root}mlp.fc1.bias": (hidden,)}
        shapes |= {f"{root}mlp.fc2.weight": (DIM, hidden), f"{root}mlp.fc2.bias": (DIM,)}
    return {
        f"net.backbone_{name}": torch.randn(shape, generator=generator) * 0.2
        for name, shape in shapes.items()
    }


def save(folder, weights):
    path = folder / "epoch_299_ckpt.pth.tar"
    wrapped = {f"module.{name}": tensor for name, tensor in weights.items()}
    optimizer = torch.optim.AdamW([nn.Parameter(torch.ones(2))]).state_dict()
    torch.save({"epoch": 300, "model": wrapped, "optimizer": optimizer}, path)
    return path


def normed(x, weight, bias, eps):
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + eps).sqrt() * weight + bias


def attention(x, weights, heads, scale):
    """One query and one head at a time."""
    qkv = x @ weights["qkv.weight"].T + weights["qkv.bias"]
    width = qkv.shape[-1] // 3 // heads
    q, k, v = qkv.view(len(x), 3, heads, width).unbind(1)
    rows = []
    for query in range(len(x)):
        parts = []
        for head in range(heads):
            logits = torch.stack([(q[query, head] * key[head]).sum() for key in k]) * scale
            shares = (logits - logits.max()).exp()
            parts.append(((shares / shares.sum())[:, None] * v[:, head]).sum(0))
        rows.append(torch.cat(parts))
    return torch.stack(rows) @ weights["proj.weight"].T + weights["proj.bias"]


def slowly(weights, image, scale_of):
    """Logits of one image, fp64."""
    w = {name.removeprefix("net.backbone_"): tensor.double() for name, tensor in weights.items()}
    stem = "init_stem_Patch_init_0.0."
    tokens = [w[f"{stem}cls_token"][0, 0]]
    for top in range(0, SIDE, 32):
        for left in range(0, SIDE, 32):
            patch = image[:, top : top + 32, left : left + 32]
            kernel = w[f"{stem}patch_embed.proj.weight"]
            tokens.append((kernel * patch).sum((1, 2, 3)) + w[f"{stem}patch_embed.proj.bias"])
    x = torch.stack(tokens) + w[f"{stem}pos_embed"][0]
    for slot, (head, _, _) in sorted(BLOCKS.items()):
        b = {n.split(".0.", 1)[1]: t for n, t in w.items() if n.startswith(f"Block_Block_{slot}.")}
        attn = {name.removeprefix("attn."): t for name, t in b.items() if name.startswith("attn.")}
        heads = HEADS[head]
        read = normed(x, b["norm1.weight"], b["norm1.bias"], 1e-6)
        x = x + attention(read, attn, heads, scale_of(heads))
        hidden = normed(x, b["norm2.weight"], b["norm2.bias"], 1e-6)
        hidden = hidden @ b["mlp.fc1.weight"].T + b["mlp.fc1.bias"]
        hidden = hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2)))
        x = x + hidden @ b["mlp.fc2.weight"].T + b["mlp.fc2.bias"]
    read = normed(x[0], w["Norm_Norm_0.0.weight"], w["Norm_Norm_0.0.bias"], 1e-5)
    return read @ w["FC_FC_0.0.module.0.weight"].T + w["FC_FC_0.0.module.0.bias"]


@pytest.fixture(scope="module")
def weights():
    return released_weights()


def test_a_released_checkpoint_computes_what_it_does_there(weights, tmp_path):
    path = save(tmp_path, weights)
    model = load_released_vitas(path, GENOTYPE, img_size=SIDE)
    assert model.options.num_classes == CLASSES and not model.training
    batch = torch.randn(2, 3, SIDE, SIDE, dtype=torch.float64)
    expected = torch.stack(
        [slowly(weights, image, lambda heads: (DIM // heads) ** -0.5) for image in batch]
    )
    with torch.no_grad():
        found = model.double()(batch)
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
        plain = tvtfast.build(
            SPACE.from_genotype(GENOTYPE), space=SPACE, num_classes=CLASSES, img_size=SIDE
        ).double()
        plain.load_state_dict(model.state_dict())
        assert (plain(batch) - expected).abs().max() > 1e-3


def test_other_readers_see_its_scale(weights, tmp_path):
    """Statistics of attention are of the logits that the model computes."""
    released = load_released_vitas(save(tmp_path, weights), GENOTYPE, img_size=SIDE)
    images = torch.randn(2, 3, SIDE, SIDE)
    plain = tvtfast.build(
        SPACE.from_genotype(GENOTYPE), space=SPACE, num_classes=CLASSES, img_size=SIDE
    )
    plain.load_state_dict(released.state_dict())
    entropies = [
        next(iter(attention_stats(m, images).values())).row_entropy for m in (released, plain)
    ]
    assert (entropies[0] - entropies[1]).abs().max() > 1e-3


def test_what_is_no_retrained_model_is_refused(weights, tmp_path):
    supernet = dict(weights)
    supernet["net.backbone_Block_Block_0.0.attn.qk0.weight"] = torch.ones(2, 2)
    with pytest.raises(CheckpointError, match=r"0\.attn\.qk0\.weight, which no model .* supernet"):
        load_released_vitas(save(tmp_path, supernet), GENOTYPE, img_size=SIDE)
    lacking = {n: t for n, t in weights.items() if not n.endswith("_4.0.attn.qkv.bias")}
    with pytest.raises(CheckpointError, match=r"missing: blocks\.1\.attn\.qkv\.bias\); give"):
        load_released_vitas(save(tmp_path, lacking), GENOTYPE, img_size=SIDE)
    deeper = [*GENOTYPE]
    deeper[1] = 0
    with pytest.raises(CheckpointError, match="do not fit VitasDeit .*missing"):
        load_released_vitas(save(tmp_path, weights), deeper, img_size=SIDE)
    with pytest.raises(CheckpointError, match=r"pos_embed is \[1, 5, 77\] and should be"):
        load_released_vitas(save(tmp_path, weights), GENOTYPE)
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        load_released_vitas(tmp_path / "nowhere.pth", GENOTYPE)


def test_a_superformer_scales_as_the_released_one():
    """By one constant, whatever the width and the heads of a subnet."""
    options = {"img_size": 32, "patch_size": 8, "num_classes": 5}
    arch = SPACE.from_genotype(GENOTYPE)
    found = {}
    for scale in (None, "released", "released-supernet"):
        model = Superformer(SPACE, softmax_scale=scale, **options).eval()
        subnet = cut_out(model, arch)
        found[scale] = [block.attn.scale for block in subnet.blocks]
        images = torch.randn(2, 3, 32, 32)
        with torch.no_grad():
            assert torch.equal(subnet(images), model(images, arch))
    heads = [HEADS[BLOCKS[slot][0]] for slot in sorted(BLOCKS)]
    widths = [QKV[BLOCKS[slot][1]] // 3 for slot in sorted(BLOCKS)]
    assert found[None] == [float((w // h) ** -0.5) for w, h in zip(widths, heads, strict=True)]
    assert found["released"] == [float((DIM // h) ** -0.5) for h in heads]
    assert found["released-supernet"] == [128**-0.5] * 3


def test_scores_are_those_of_the_scaled_model():
    arch = SPACE.from_genotype(GENOTYPE)
    options = {"space": SPACE, "img_size": 32, "patch_size": 8, "num_classes": 5}
    images = torch.randn(4, 3, 32, 32)
    names = ["length_distortion"]
    scaled, plain = (
        tvtfast.score([arch], proxies=names, images=images, softmax_scale=scale, **options)
        for scale in ("released", None)
    )
    built = tvtfast.build(arch, softmax_scale="released", **options)
    alone = tvtfast.score([built], proxies=names, images=images)
    assert scaled[names[0]][0] == pytest.approx(alone[names[0]][0], rel=1e-6)
    assert scaled[names[0]][0] != plain[names[0]][0]
    with pytest.raises(ValueError, match="softmax_scale is 'released', and populations scale"):
        Population([arch], softmax_scale="released", **options)


def test_spaces_without_such_a_form_refuse_it():
    for name in ("vitas-twins", "autoformer-tiny", "pit", "asvit"):
        space = spaces.get(name)
        arch = space.draw(random.Random(0))
        with pytest.raises(
            ValueError, match=f"{name}: softmax_scale is 'released', and its models"
        ):
            tvtfast.build(arch, space=space, softmax_scale="released")
    with pytest.raises(ValueError, match="softmax_scale is 'true'; allowed: None, released, rel"):
        spaces.ModelOptions(softmax_scale="true")
