"""A population on the weights of a supernet gives what the supernet gives for every subnet."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch

import tvtfast
from tvtfast import spaces
from tvtfast.models import CheckpointError, InheritedWeights, RenameMap, inherit, last_features
from tvtfast.population import Population

SPACE = spaces.AutoFormerSpace("elastic", (32, 48), (2, 3), (1.0, 2.0), (1, 2), True)
SIZE = {"img_size": 32}


@pytest.fixture(scope="module")
def elastic(load_program):
    return load_program(Path(__file__).parents[1] / "elastic.py")


@pytest.fixture(scope="module")
def supernet(elastic):
    return elastic.ElasticSupernet().eval()


@pytest.fixture(scope="module")
def archs():
    return SPACE.sample(8, 0, **SIZE)


@pytest.fixture(scope="module")
def images():
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def features_of(population, images):
    return {
        row: x
        for found in population.features(images)
        for rows, x in zip(found.rows, found.features.x, strict=True)
        for row in rows
    }


@pytest.mark.parametrize("dtype", (torch.float32, torch.float64))
def test_features_are_those_of_the_supernet(elastic, archs, images, dtype):
    supernet = elastic.ElasticSupernet().to(dtype)
    population = Population(archs, space=SPACE, weights=supernet, dtype=dtype, **SIZE)
    found = features_of(population, images)
    assert sorted(found) == list(range(len(archs)))
    bound = 1e-5 if dtype == torch.float32 else 1e-12
    for row, arch in enumerate(archs):
        supernet.set_sample_config(elastic.config_of(arch))
        with torch.no_grad():
            expected = supernet.tokens(images.to(dtype))
        assert (found[row] - expected).abs().max() <= bound * expected.abs().max()


def test_a_module_inherits_the_same(elastic, supernet, archs, images):
    for arch in archs[:3]:
        supernet.set_sample_config(elastic.config_of(arch))
        with torch.no_grad():
            expected = supernet(images)
            found = inherit(arch, supernet, space=SPACE, **SIZE)(images)
        assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_sources_and_their_options(supernet, archs, images, tmp_path):
    expected = features_of(Population(archs, space=SPACE, weights=supernet, **SIZE), images)
    state = {f"module.{name}": tensor for name, tensor in supernet.state_dict().items()}
    torch.save({"model": state, "epoch": 3}, tmp_path / "checkpoint.pth")
    safetensors.torch.save_file(supernet.state_dict(), tmp_path / "supernet.safetensors")
    sources = (state, tmp_path / "checkpoint.pth", str(tmp_path / "supernet.safetensors"))
    for source in sources:
        population = Population(archs, space=SPACE, weights=source, **SIZE)
        options = population.options
        assert (options.num_classes, options.patch_size, options.norm_eps) == (5, 8, 1e-5)
        found = features_of(population, images)
        assert all(torch.equal(found[row], expected[row]) for row in expected)
    prints = {InheritedWeights(source).fingerprint for source in (supernet, *sources)}
    assert len(prints) == 1
    changed = {**supernet.state_dict(), "cls_token": supernet.cls_token.detach() + 1}
    assert InheritedWeights(changed).fingerprint not in prints


def test_weight_norms_are_those_of_slices(supernet, archs):
    population = Population(archs, space=SPACE, weights=supernet, **SIZE)
    for row, arch in enumerate(archs):
        module = inherit(arch, supernet, space=SPACE, **SIZE)
        kinds = (torch.nn.Linear, torch.nn.Conv2d)
        layers = [part.weight for part in module.modules() if isinstance(part, kinds)]
        expected = sum(weight.detach().double().norm().item() for weight in layers)
        assert population.weight_norms()[row] == pytest.approx(expected, rel=1e-6)
        assert population.params[row] == sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("name", "space", "options"),
    [
        ("autoformer-tiny", spaces.get("autoformer-tiny"), {"img_size": 32, "patch_size": 8}),
        ("pit", spaces.get("pit"), {"img_size": 48, "num_classes": 7, "distilled": True}),
    ],
)
def test_heads_that_split_the_width_and_pooling(name, space, options):
    """Weights of a module of tvtfast, with norms that were trained."""
    archs = space.sample(2, 0, **options)
    widest = list(space.largest())[-1] if name == "autoformer-tiny" else archs[0]
    source = tvtfast.build(widest, space=space, seed=1, **options)
    with torch.no_grad():
        for parameter in source.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn(parameter.shape) * 0.2)
    archs = [widest] if name == "pit" else archs
    images = torch.randn(2, 3, options["img_size"], options["img_size"])
    given = {"img_size": options["img_size"]}
    found = features_of(Population(archs, space=space, weights=source, **given), images)
    for row, arch in enumerate(archs):
        with torch.no_grad():
            expected = last_features(inherit(arch, source, space=space, **given), images).x
        assert (found[row] - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_a_vit_of_timm_is_a_bank():
    vit = timm.create_model(
        "vit_tiny_patch16_224", img_size=32, patch_size=8, num_classes=4, embed_dim=240, depth=14
    )
    tiny, images = spaces.get("autoformer-tiny"), torch.randn(2, 3, 32, 32)
    whole = spaces.AutoFormerArch(240, 14, (4.0,) * 14, (3,) * 14)
    archs = [whole, *tiny.sample(2, 0)]
    population = Population(archs, space=tiny, weights=vit, img_size=32)
    with torch.no_grad():
        expected = vit.forward_intermediates(images, indices=1, return_prefix_tokens=False)[1]
    found = features_of(population, images)[0][:, 1:].transpose(1, 2).unflatten(2, (4, 4))
    assert (found - expected[-1]).abs().max() <= 1e-5 * expected[-1].abs().max()
    with pytest.raises(ValueError, match="say whose they are"):
        InheritedWeights(vit.state_dict())


def test_what_cannot_be_inherited(supernet, archs, tmp_path):
    def refused(message, chosen=None, space=SPACE, weights=supernet, error=ValueError, **options):
        with pytest.raises(error, match=message):
            Population(chosen or archs, space=space, weights=weights, **{**SIZE, **options})

    deeper = spaces.AutoFormerArch(32, 4, (1.0,) * 4, (1,) * 4)
    wider = spaces.AutoFormerArch(192, 2, (1.0,) * 2, (1,) * 2)
    refused("hold no blocks.3.attn.qkv.weight", [deeper])
    refused(r"patch_embed.proj.weight is \[128, 3, 8, 8\]", [wider])
    refused(r"head.weight is \[5, 128\]", num_classes=10)
    refused(r"pos_embed is \[1, 17, 128\]", img_size=64)
    refused(r"a candidate needs \[1, 18, ", distilled=True)
    refused("heads have 64 channels", space="autoformer-tiny", chosen=[deeper])
    refused("have names of none of autoformer", weights={"a.b": torch.zeros(1)})
    refused("give a state dict", weights={"state": 3})
    refused("weights is a int", weights=3, error=TypeError)
    refused("student folder", weights=tmp_path)
    twins = spaces.get("vitas-twins")
    source = tvtfast.build(twins.sample(1, 0)[0], space=twins, num_classes=5)
    refused("PatchMerging", twins.sample(1, 0), twins, source, img_size=224)
    with pytest.raises(CheckpointError, match="'timm' does not have"):
        InheritedWeights(supernet, rename="timm")
    with pytest.raises(ValueError, match="did you mean autoformer"):
        InheritedWeights(supernet, rename="autofomer")


def test_forms_that_no_model_has(elastic):
    supernet = elastic.ElasticSupernet()
    supernet.blocks[0].attn.change_qkv = False
    with pytest.raises(ValueError, match="change_qkv=False"):
        InheritedWeights(supernet)
    other = elastic.ElasticSupernet()
    other.gp = False
    assert InheritedWeights(other).options["pool"] == "token"


def test_a_map_of_your_own(supernet, archs, images):
    state = {name.replace("blocks", "layer"): t for name, t in supernet.state_dict().items()}
    known = InheritedWeights(supernet).rename
    pairs = tuple((theirs.replace("blocks", "layer"), ours) for theirs, ours in known.pairs)
    own = RenameMap("mine", "AutoFormer", pairs, known.options, interleaved_qkv=True)
    population = Population(archs, space=SPACE, weights=InheritedWeights(state, own), **SIZE)
    expected = features_of(Population(archs, space=SPACE, weights=supernet, **SIZE), images)
    found = features_of(population, images)
    assert all(torch.equal(found[row], expected[row]) for row in expected)
