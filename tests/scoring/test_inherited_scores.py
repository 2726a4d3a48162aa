"""Scores of candidates that inherit the weights of a supernet."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from torch import nn

import tvtfast
from tvtfast import spaces
from tvtfast.cli import main
from tvtfast.data import FrozenBatch
from tvtfast.models import inherit
from tvtfast.scoring.store import ScoreStore

SPACE = spaces.AutoFormerSpace("elastic", (32, 48), (2, 3), (1.0, 2.0), (1, 2), True)
PROXIES = ("teacher_aware", "weight_norm", "grad_norm")


@pytest.fixture(scope="module")
def elastic(load_program):
    return load_program(Path(__file__).parents[1] / "elastic.py")


@pytest.fixture(scope="module")
def supernet(elastic):
    return elastic.ElasticSupernet()


@pytest.fixture(scope="module")
def archs():
    return SPACE.sample(5, 0, img_size=32)


@pytest.fixture(scope="module")
def settings(teacher):
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    batch = FrozenBatch.from_tensors(images, torch.arange(4))
    return {"images": batch, "teacher": teacher, "proxies": PROXIES}


def test_scores_are_those_of_modules_with_these_weights(supernet, archs, settings):
    """Together and one by one; a gradient is taken of modules alone."""
    table = tvtfast.score(archs, space=SPACE, weights=supernet, **settings)
    modules = [inherit(arch, supernet, space=SPACE, img_size=32) for arch in archs]
    apart = tvtfast.score(modules, **settings)
    drawn = tvtfast.score(archs, space=SPACE, **settings, patch_size=8, num_classes=5)
    for proxy in (*PROXIES, "params"):
        assert table[proxy].tolist() == pytest.approx(apart[proxy].tolist(), rel=1e-4)
        assert proxy == "params" or table[proxy].tolist() != drawn[proxy].tolist()


def test_weights_are_in_the_keys_of_scores(elastic, supernet, archs, settings):
    store = ScoreStore()
    scorer = tvtfast.Scorer(space=SPACE, weights=supernet, store=store, **settings)
    first = scorer(archs)
    assert scorer.evaluated == len(archs)
    again = pickle.loads(pickle.dumps(scorer))
    again.keep_in(store)
    assert again(archs).to_pandas().equals(first.to_pandas()) and again.evaluated == len(archs)
    state = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    same = tvtfast.Scorer(space=SPACE, weights=state, store=store, **settings)
    same(archs)
    assert same.evaluated == 0
    other = elastic.ElasticSupernet(seed=1)
    changed = tvtfast.Scorer(space=SPACE, weights=other, store=store, **settings)
    assert not changed(archs).to_pandas().equals(first.to_pandas())
    assert changed.evaluated == len(archs)


def test_a_search_inherits(supernet, settings):
    found = tvtfast.search(
        SPACE, weights=supernet, strategy="random", trials=6, **settings | {"proxies": PROXIES[:2]}
    )
    assert len(found.table) == 6


def test_a_supernet_is_no_candidate(elastic, supernet, archs, settings):
    with pytest.raises(ValueError, match="candidate 1 is the supernet ElasticSupernet.*weights="):
        tvtfast.score([nn.Linear(2, 2), supernet], **settings)
    sampled = nn.Linear(2, 2)
    sampled.sample_embed_dim = 32
    with pytest.raises(ValueError, match="candidate 0 is the supernet Linear"):
        tvtfast.score([sampled], **settings)


def test_what_is_refused_before_anything_is_computed(supernet, archs, settings):
    deeper = spaces.AutoFormerArch(32, 4, (1.0,) * 4, (1,) * 4)
    scorer = tvtfast.Scorer(space=SPACE, weights=supernet, **settings)
    with pytest.raises(ValueError, match=r"hold no blocks\.3"):
        scorer([*archs, deeper])
    assert scorer.evaluated == 0
    with pytest.raises(ValueError, match="init_seeds is 2"):
        tvtfast.score(archs, space=SPACE, weights=supernet, init_seeds=2, **settings)
    with pytest.raises(ValueError, match="space="):
        tvtfast.score([nn.Linear(2, 2)], weights=supernet, **settings)


def test_the_command_line_inherits(supernet, archs, tmp_path, capsys):
    spaces.register(SPACE)
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    FrozenBatch.from_tensors(images, torch.arange(4)).save(tmp_path / "batch.safetensors")
    torch.save({"model": supernet.state_dict()}, tmp_path / "supernet.pth")
    given = ["--arch", *map(SPACE.text, archs), "--space", SPACE.name, "--proxies", "weight_norm"]
    given += ["--data-set", str(tmp_path / "batch.safetensors"), "--device", "cpu", "--json"]
    weights = ["--weights", str(tmp_path / "supernet.pth"), "--rename", "autoformer"]
    assert main(["score", *given, *weights]) == 0
    found = json.loads(capsys.readouterr().out)["candidates"]
    table = tvtfast.score(archs, space=SPACE, weights=supernet, img_size=32, proxies="weight_norm")
    expected = sorted(table["weight_norm"].tolist(), reverse=True)
    assert [one["proxies"]["weight_norm"]["value"] for one in found] == pytest.approx(expected)
    assert main(["score", *given, "--rename", "timm"]) == 2
    assert "--weights supernet.pth" in capsys.readouterr().err
