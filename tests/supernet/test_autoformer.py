"""Superformers of AutoFormer spaces: weight entanglement."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
import torch

from tvtfast import spaces
from tvtfast.cli import main
from tvtfast.models import AutoFormer
from tvtfast.spaces import AutoFormerSpace
from tvtfast.supernet import InheritedAccuracy, Superformer, cut_out, extract, load_superformer
from tvtfast.supernet.relatives import Relatives

PLAIN = AutoFormerSpace("test-super-plain", (12, 18, 24), (1, 2), (1.5, 2.0), (2, 3))
RELATIVE = AutoFormerSpace("test-super-relative", (12, 18), (1, 2), (1.5, 2.0), (1, 2), True)
OPTIONS = {"img_size": 32, "patch_size": 8, "num_classes": 5}
both = pytest.mark.parametrize("space", [PLAIN, RELATIVE], ids=["plain", "relative"])


def superformer(space, **options):
    """Every stored value differs from every other."""
    model = Superformer(space, **OPTIONS, **options).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.3, generator=generator)
    return model


def draws(space, count):
    return [space.draw(random.Random(seed)) for seed in range(count)]


@both
def test_narrower_candidates_are_the_first_channels_and_heads(space):
    model = superformer(space)
    assert (model.sharing, model.qkv_mode) == ("ordinal", 0)
    for arch in draws(space, 6):
        taken, stored = model.weights(arch), model.stored
        dim, heads, hidden = (
            arch.hidden_dim,
            arch.num_heads[-1],
            int(arch.hidden_dim * arch.mlp_ratio[-1]),
        )
        inner = 64 * heads if space.relative_position else dim
        name = f"blocks.{arch.depth - 1}."
        flat = name.replace(".", "/")
        parts = [stored[f"{flat}attn/{part}/weight"][:inner, :dim] for part in "qkv"]
        assert torch.equal(taken[f"{name}attn.qkv.weight"], torch.cat(parts))
        biases = [stored[f"{flat}attn/{part}/bias"][:inner] for part in "qkv"]
        assert torch.equal(taken[f"{name}attn.qkv.bias"], torch.cat(biases))
        for layer, rows, columns in (
            ("attn.proj", dim, inner),
            ("mlp.fc1", hidden, dim),
            ("mlp.fc2", dim, hidden),
        ):
            whole = stored[f"{flat}{layer.replace('.', '/')}/weight"]
            assert torch.equal(taken[f"{name}{layer}.weight"], whole[:rows, :columns])
        assert torch.equal(taken["pos_embed"], stored["pos_embed"][:, :, :dim])
        assert torch.equal(taken["head.weight"], stored["head/weight"][:, :dim])
        assert f"blocks.{arch.depth}.norm1.weight" not in taken
        if space.relative_position:
            assert torch.equal(taken[f"{name}attn.key_rows"], stored[f"{flat}attn/key_rows"])


@both
@pytest.mark.parametrize(("sharing", "mode"), [("ordinal", 0), ("cyclic", 2), ("bilateral", 1)])
def test_what_is_cut_out_computes_the_same(space, images, sharing, mode):
    model = superformer(space, sharing=sharing, qkv_mode=mode)
    archs = draws(space, 8)
    with torch.no_grad():
        for side in range(model.sides):
            for arch in archs:
                alone = cut_out(model, arch, side=side)
                assert isinstance(alone, AutoFormer)
                assert torch.equal(alone(images), model(images, arch, side))
            tree = Relatives(model, archs)
            assert len(tree) < sum(1 + arch.depth for arch in archs)
            for rows, logits in tree.logits(images, side):
                assert all(torch.equal(logits, model(images, archs[row], side)) for row in rows)


@pytest.mark.parametrize("name", ["autoformer-tiny", "autoformer-original-base"])
def test_a_superformer_is_as_large_as_its_largest_candidate(name):
    space = spaces.get(name)
    *_, largest = space.largest()
    options = {"num_classes": 10, "img_size": 32, "patch_size": 16}
    model = Superformer(space, device="meta", **options)
    stored = sum(parameter.numel() for parameter in model.parameters())
    assert stored == space.params(largest, **options)
    assert stored >= max(space.params(arch, **options) for arch in space.sample(50, 0))
    assert model.reference == largest


@both
def test_every_value_can_have_its_turn(space):
    for name, values in space.decision_values().items():
        for value in values:
            arch = space.draw_deciding(random.Random(0), name, value)
            assert space.decisions(arch)[name] == value
    met = {}
    for arch in draws(space, 200):
        for name, value in space.decisions(arch).items():
            met.setdefault(name, set()).add(value)
    assert met == {name: set(values) for name, values in space.decision_values().items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A superformer that the command trained, and its images."""
    if PLAIN.name not in spaces.available():
        spaces.register(PLAIN)
    folder = tmp_path_factory.mktemp("autoformer")
    rng, arrays = np.random.default_rng(0), {}
    for split, count in (("train", 64), ("test", 20)):
        labels = np.arange(count) % 2
        noise = rng.integers(0, 120, (count, 16, 16, 3))
        arrays[f"x_{split}"] = (noise + 100 * labels[:, None, None, None]).astype(np.uint8)
        arrays[f"y_{split}"] = labels
    np.savez(folder / "mine.npz", **arrays)
    pixels = ["--img-size", "16", "--patch-size", "8", "--data-set", str(folder / "mine.npz")]
    short = ["--epochs", "2", "--batch-size", "16", "--warmup-epochs", "0", "--lr", "1e-2"]
    quietly = ["--augmentation", "light", "--device", "cpu", "--quiet"]
    command = ["supernet", "--space", PLAIN.name, *pixels, *short, *quietly]
    assert main([*command, "--output-dir", str(folder / "super")]) == 0
    return folder, pixels


def test_from_training_to_a_student(folder, capsys):
    place, pixels = folder
    loaded = load_superformer(place / "super")
    assert (loaded.card.sharing, loaded.card.qkv_mode) == ("ordinal", 0)
    capsys.readouterr()
    command = ["search", "--space", PLAIN.name, "--supernet", str(place / "super"), *pixels]
    how = ["--proxies", "inherited_accuracy", "--trials", "6", "--device", "cpu"]
    assert main([*command, *how, "--output-dir", str(place / "search"), "--quiet", "--json"]) == 0
    best = json.loads(capsys.readouterr().out)["best"]
    student = extract(loaded, best, place / "student")
    images = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(student.module(images), loaded.model(images, PLAIN.decode(best["arch"])))
    params = sum(parameter.numel() for parameter in student.module.parameters())
    assert params == best["params"]


def test_together_is_alone(folder):
    from tvtfast.data import load_dataset

    place, _ = folder
    images = load_dataset(str(place / "mine.npz"), split="eval")
    score = InheritedAccuracy(load_superformer(place / "super"), images)
    archs = draws(PLAIN, 5)
    found = {}
    for some in score.of_many(archs):
        found |= some
    assert [found[place] for place in range(5)] == [score(arch) for arch in archs]
