"""Names of timm are candidates: untrained, built for the images, and told where they cannot be."""

from __future__ import annotations

import json

import pytest
import timm
import torch

import tvtfast
from tvtfast import spaces
from tvtfast.cli.main import main
from tvtfast.data import frozen_batch
from tvtfast.models.timm_network import TimmNetwork

TINY = spaces.get("autoformer-tiny")
NAMES = ["vit_tiny_patch16_224", "resnet10t"]


@pytest.fixture(scope="module")
def batch():
    return frozen_batch("digits", 3)


@pytest.fixture(scope="module")
def table(batch, teacher):
    return tvtfast.score(NAMES, images=batch, teacher=teacher, init_seeds=2)


def test_scores_are_those_of_the_built_modules(table, batch, teacher):
    """Built by timm itself with patches that suit 32 pixels."""
    nets = []
    for seed in range(2):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            nets.append(timm.create_model(NAMES[0], num_classes=10, img_size=32, patch_size=4))
    direct = tvtfast.score(nets, images=batch, teacher=teacher).to_pandas()
    found = table.to_pandas().iloc[0]
    assert found["arch"] == NAMES[0] and found["params"] == direct["params"][0]
    assert found["flops"] == direct["flops"][0]
    for proxy in ("teacher_aware", "weight_norm"):
        assert found[proxy] == pytest.approx(direct[proxy].mean(), rel=1e-6)
    assert table.candidates == NAMES and (table.status["weight_norm"] == "ok").all()


def test_the_random_state_of_the_caller_stays(batch, teacher, monkeypatch):
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda seed: pytest.fail("a GPU is seeded"))
    before = torch.random.get_rng_state()
    measure = tvtfast.Measure(("weight_norm", "params"), seed=1)
    found = measure(NAMES[1], batch)
    net = TimmNetwork(NAMES[1], 10, {}).build(1)
    assert found["params"] == sum(p.numel() for p in net.parameters())
    assert found["weight_norm"] == tvtfast.Measure("weight_norm")(net)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_they_stand_beside_architectures_and_in_a_store(batch, tmp_path):
    store = tmp_path / "scores.sqlite"
    arch = TINY.sample(1, 0)[0]
    given = {"space": TINY, "images": batch, "proxies": "weight_norm", "store": store}
    first = tvtfast.Scorer(**given, patch_size=8)
    values = first([arch, NAMES[0], NAMES[0], TINY.encode(arch)])["weight_norm"].tolist()
    assert values[0] == values[3] != values[1] == values[2] and first.evaluated == 4
    again = tvtfast.Scorer(**given, patch_size=8)
    assert again([NAMES[0], arch])["weight_norm"].tolist() == values[1::-1]
    assert again.evaluated == 0
    other = tvtfast.Scorer(**{**given, "space": None}, patch_size=4)
    assert other([NAMES[0]])["weight_norm"].tolist() != values[1:2] and other.evaluated == 1


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        (
            "vit_tiny_patch16_244",
            {},
            "candidate 0: .*is no model of timm; did you mean vit_tiny_pa",
        ),
        ("autoformer", {}, "is no model of timm.*an architecture needs its space"),
        ("vit_tiny_patch16_224.augreg_in21k", {}, "names trained weights.*give 'vit_tiny_patch16"),
        (NAMES[0], {"distilled": True}, "distilled cannot be set for a model of timm"),
        (NAMES[0], {"patch_size": 5}, "leave pixels out; give another img_size or patch_size"),
        (NAMES[1], {"patch_size": 4}, "patch_size is 4, and timm's resnet10t takes none"),
        (NAMES[0], {"images": torch.zeros(2, 3, 32, 48)}, "32 x 48 pixels.*built for square ones"),
    ],
)
def test_what_cannot_be_built_is_named(batch, name, changes, message):
    given = {"images": batch, "proxies": "weight_norm", **changes}
    with pytest.raises(ValueError, match=message):
        tvtfast.score([name], **given)


def test_an_architecture_without_its_space_is_told_so_as_ever(batch):
    with pytest.raises(ValueError, match="say which space it belongs to"):
        tvtfast.score([TINY.encode(TINY.sample(1, 0)[0])], images=batch, proxies="weight_norm")
    with pytest.raises(ValueError, match="candidate 0: .*autoformer-tiny.* is not JSON"):
        tvtfast.score(["vit"], space=TINY, images=batch, proxies="weight_norm")


def test_they_inherit_no_weights(batch):
    given = {"space": TINY, "images": batch, "proxies": "weight_norm", "patch_size": 8}
    arch = {"hidden_dim": 192, "depth": 1, "mlp_ratio": [3.5], "num_heads": [3]}
    weights = tvtfast.build(arch, space=TINY, img_size=32, patch_size=8, num_classes=10)
    with pytest.raises(ValueError, match="patch16_224' is a model of timm; score it apart"):
        tvtfast.score([NAMES[0]], weights=weights, **given)


def test_the_command_line_takes_them(capsys):
    flags = ["--proxies", "weight_norm", "--batch-size", "2", "--quiet", "--json"]
    assert main(["score", "--arch", *NAMES, *flags]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["space"] is None
    assert sorted(row["arch"] for row in found["candidates"]) == sorted(NAMES)
    assert all(row["proxies"]["weight_norm"]["status"] == "ok" for row in found["candidates"])
    arch = TINY.encode(TINY.sample(1, 0)[0])
    for given, message in (
        ([NAMES[0], arch], "score models of timm and architectures of a space one at a time"),
        (["vit_tiny_patch16_244"], "did you mean vit_tiny_patch16_224"),
        ([NAMES[0], "--space", "pit"], "--space is of architectures, and .* models of timm"),
        ([NAMES[1], "--patch-size", "4"], "patch_size is 4, and timm's resnet10t takes none"),
    ):
        assert main(["score", "--arch", *given, *flags]) == 2
        error = capsys.readouterr().err
        assert all(part in error for part in message.split(".*")), error
