"""Checkpoints of other code bases become students, and students go back; both compute the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch

import tvtfast
from tvtfast import spaces
from tvtfast.cli import main
from tvtfast.models import RENAME_MAPS, CheckpointError, load_student, rename_weights

TINY, PIT, TWINS = (spaces.get(name) for name in ("autoformer-tiny", "pit", "vitas-twins"))
VIT = spaces.AutoFormerArch(48, 2, (4.0,) * 2, (3,) * 2)
POOLED = spaces.PiTArch(32, 4, (1, 2, 1), (1, 2, 4))
ELASTIC = spaces.AutoFormerSpace("elastic-test", (32, 48), (2, 3), (1.0, 2.0), (1, 2), True)
SUBNET = spaces.AutoFormerArch(48, 2, (2.0, 1.0), (1, 2))


@pytest.fixture(scope="module", autouse=True)
def registered():
    spaces.register(ELASTIC)


@pytest.fixture(scope="module")
def elastic(load_program):
    return load_program(Path(__file__).parents[1] / "elastic.py")


@pytest.fixture(scope="module")
def supernet(elastic):
    supernet = elastic.ElasticSupernet().eval()
    supernet.set_sample_config(elastic.config_of(SUBNET))
    return supernet


def images(side):
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))


def close(found, expected, bound=1e-5):
    return (found - expected).abs().max() <= bound * expected.abs().max()


def trained(module):
    """With norms, tokens and heads that are not as they are drawn."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.05)
    return module.eval()


def twins():
    dims, depths = (32, 64, 64, 64), (1, 2, 1, 1)
    width = [dim for dim, depth in zip(dims, depths, strict=True) for _ in range(depth)]
    kinds = ("local", "local", "global", "local", "local")
    heads = tuple(dim // 32 for dim in width)
    qkv, mlp = tuple(3 * dim for dim in width), tuple(4 * dim for dim in width)
    return spaces.VitasTwinsArch(dims, depths, kinds, heads, qkv, mlp)


def of_timm(name):
    if name == "twins":
        sizes = {"embed_dims": (32, 64, 64, 64), "depths": (1, 2, 1, 1), "num_heads": (1, 2, 2, 2)}
        return timm.create_model("twins_svt_small", num_classes=5, img_size=224, **sizes), 224
    if name.startswith("pit"):
        sizes = {"base_dims": (32,) * 3, "depth": (1, 2, 1), "heads": (1, 2, 4), "mlp_ratio": 4}
        model = "pit_ti_distilled_224" if "distilled" in name else "pit_ti_224"
        return timm.create_model(model, num_classes=5, img_size=48, patch_size=16, **sizes), 48
    model = "deit_tiny_distilled_patch16_224" if "distilled" in name else "vit_tiny_patch16_224"
    sizes = {"embed_dim": 48, "depth": 2, "num_heads": 3, "img_size": 32, "patch_size": 8}
    return timm.create_model(model, num_classes=5, **sizes), 32


@pytest.mark.parametrize(
    ("name", "space", "arch"),
    [
        ("vit", TINY, VIT),
        ("vit-distilled", TINY, VIT),
        ("pit", PIT, POOLED),
        ("pit-distilled", PIT, POOLED),
        ("twins", TWINS, twins()),
    ],
)
def test_timm_both_ways(name, space, arch):
    theirs, side = of_timm(name)
    trained(theirs)
    student = tvtfast.convert(
        theirs.state_dict(), arch=arch, space=space, rename="timm", img_size=side
    )
    with torch.no_grad():
        expected = theirs(images(side))
        assert close(student.module(images(side)), expected)
    again, _ = of_timm(name)
    again.load_state_dict(tvtfast.convert(student, to="timm"))
    with torch.no_grad():
        assert torch.equal(again.eval()(images(side)), expected)


def test_autoformer_both_ways_and_by_command(elastic, supernet, tmp_path, capsys):
    checkpoint, arch = tmp_path / "supernet.pth", ELASTIC.text(SUBNET)
    torch.save({"model": supernet.state_dict(), "epoch": 1}, checkpoint)
    given = ["--checkpoint", str(checkpoint), "--arch", arch, "--space", ELASTIC.name]
    folder, back = tmp_path / "student", tmp_path / "back.pth"
    assert main(["convert", *given, "--img-size", "32", "--output", str(folder)]) == 0
    student = load_student(folder)
    with torch.no_grad():
        expected = supernet(images(32))
        assert close(student.module(images(32)), expected)
    assert student.card.recipe["converted_from"] == "autoformer"
    command = ["convert", "--student", str(folder), "--to", "autoformer", "--output", str(back)]
    assert main(command) == 0
    again = elastic.ElasticSupernet(seed=5)
    again.load_state_dict(torch.load(back, weights_only=True)["model"])
    again.set_sample_config(elastic.config_of(SUBNET))
    with torch.no_grad():
        assert close(again.eval()(images(32)), expected)
    assert str(back) in capsys.readouterr().out


AUTO_PROX = {
    "autoformer-tiny": {
        "distill_token": "dist_token",
        "distill_head.weight": "head_dist.weight",
        "patch_embed.projection.bias": "patch_embed.proj.bias",
        "blocks.1.attn.qkv_transform.weight": "blocks.1.attn.qkv.weight",
        "blocks.0.attn.projection.bias": "blocks.0.attn.proj.bias",
        "blocks.1.mlp.fc2.weight": "blocks.1.mlp.fc2.weight",
        "blocks.0.norm1.bias": "blocks.0.norm1.bias",
    },
    "pit": {
        "patch_embed.conv.weight": "patch_embed.proj.weight",
        "transformers.1.blocks.0.attn.qkv_transform.bias": "stages.1.0.attn.qkv.bias",
        "transformers.2.blocks.0.attn.projection.weight": "stages.2.0.attn.proj.weight",
        "pools.1.fc.weight": "pools.1.fc.weight",
        "distill_head.bias": "head_dist.bias",
        "norm.bias": "norm.bias",
    },
}


@pytest.mark.parametrize(("space", "arch"), [(TINY, VIT), (PIT, POOLED)])
def test_names_of_auto_prox(space, arch):
    options = {"img_size": 48, "num_classes": 5, "distilled": True}
    module = trained(tvtfast.build(arch, space=space, **options))
    theirs = rename_weights(module, "auto-prox", space=space)
    own = module.state_dict()
    for name, here in AUTO_PROX[space.name].items():
        assert torch.equal(theirs[name], own[here])
    assert theirs["cls_token"].shape[1] == (2 if space is PIT else 1)
    student = tvtfast.convert(theirs, arch=arch, space=space, img_size=48)
    assert student.card.recipe["converted_from"] == "auto-prox"
    assert all(torch.equal(tensor, own[n]) for n, tensor in student.module.state_dict().items())


def test_tf_tas_has_the_names_of_autoformer_and_a_pit():
    options = {"img_size": 48, "num_classes": 5}
    theirs = rename_weights(tvtfast.build(POOLED, space=PIT, **options), "tf-tas", space=PIT)
    assert {"transformers.2.blocks.0.attn.qkv.weight", "pools.0.conv.bias"} <= theirs.keys()
    assert RENAME_MAPS["tf-tas"][0].pairs == RENAME_MAPS["autoformer"][0].pairs


def test_vitas_goes_back_as_it_came():
    space = spaces.get("vitas-deit")
    arch = space.sample(1, 0, img_size=224)[0]
    model = tvtfast.build(arch, space=space, softmax_scale="released", num_classes=5)
    theirs = rename_weights(model, "vitas", space=space)
    assert "net.backbone_Block_Block_0.0.attn.qkv.weight" in theirs
    student = tvtfast.convert(theirs, arch=arch, space=space)
    assert student.module.options.softmax_scale == "released"
    own = model.state_dict()
    assert all(torch.equal(tensor, own[n]) for n, tensor in student.module.state_dict().items())
    plain = tvtfast.build(arch, space=space, num_classes=5)
    with pytest.raises(ValueError, match="softmax_scale=None.*'vitas'"):
        rename_weights(plain, "vitas", space=space)


def test_what_is_refused(supernet, tmp_path, caplog):
    theirs, _ = of_timm("vit")
    weights = theirs.state_dict()

    def refused(message, source=weights, error=ValueError, **arguments):
        given = {"arch": VIT, "space": TINY, "rename": "timm", "img_size": 32}
        with pytest.raises(error, match=message):
            tvtfast.convert(source, **given | arguments)

    shallow = spaces.AutoFormerArch(48, 1, (4.0,), (3,))
    refused("hold blocks.1.norm1.weight.*no such parameter", arch=shallow, error=CheckpointError)
    narrow = spaces.AutoFormerArch(24, 2, (4.0,) * 2, (3,) * 2)
    refused("give the architecture that was trained", arch=narrow, error=CheckpointError)
    refused("give their architecture", arch=None)
    refused("name the space", space=None)
    refused("did you mean timm", to="tim")
    refused("say whose they are", rename=None)
    refused(".safetensors or .pth", to="auto-prox", output=tmp_path / "weights")
    assert not list(tmp_path.iterdir())
    student = tvtfast.convert(weights, arch=VIT, space=TINY, rename="timm", img_size=32)
    with pytest.raises(ValueError, match="pool='token', and those of 'auto-prox'"):
        tvtfast.convert(student, to="auto-prox")
    with pytest.raises(ValueError, match="'autoformer' has no names for this AutoFormer"):
        tvtfast.convert(student, to="autoformer")
    own = tvtfast.build(SUBNET, space=ELASTIC, img_size=32, patch_size=8)
    rename_weights(own, "autoformer", space=ELASTIC)
    assert "norm_eps=1e-05" in caplog.text
    out = tmp_path / "timm.safetensors"
    tvtfast.convert(student, out, to="timm")
    assert safetensors.torch.load_file(out).keys() == weights.keys()
    assert main(["convert", "--checkpoint", "x.pth", "--output", "y"]) == 2
