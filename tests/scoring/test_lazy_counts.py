"""Nobody pays for counts that nobody looks at, and identities are made once."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn

import tvtfast
from tvtfast import spaces
from tvtfast.proxies import CombinedProxy
from tvtfast.scoring.candidates import ModuleCandidate, as_candidates
from tvtfast.scoring.cells import canonical, score_key
from tvtfast.scoring.identity import around_candidate, shared_fields
from tvtfast.scoring.settings import Scoring
from tvtfast.scoring.setup import set_up
from tvtfast.scoring.store import ScoreStore

TINY = spaces.get("autoformer-tiny")
IMAGES = torch.zeros(2, 3, 32, 32)


@pytest.fixture
def counted(monkeypatch):
    """Modules whose FLOPs were counted."""
    seen = []
    count = ModuleCandidate.flops

    def flops(self, images):
        seen.append(self.source)
        return count(self, images)

    monkeypatch.setattr(ModuleCandidate, "flops", flops)
    return seen


def network():
    return nn.Sequential(nn.Conv2d(3, 6, 4, 4), nn.Flatten(), nn.Linear(384, 2))


FLOPS = 2 * (64 * 3 * 16 * 6 + 384 * 2)


def test_flops_of_a_module_are_counted_when_somebody_looks(counted):
    net = network()
    table = tvtfast.score([net], proxies="weight_norm", images=IMAGES)
    expected = sum(layer.weight.norm().item() for layer in (net[0], net[2]))
    assert table["weight_norm"] == pytest.approx([expected])
    assert table["params"].tolist() == [sum(p.numel() for p in net.parameters())]
    assert len(table) == 1 and table.candidates == [net]
    assert not counted
    assert table["flops"].tolist() == [FLOPS]
    frame = table.to_pandas()
    assert frame.loc[0, ["params", "flops"]].tolist() == [1064, FLOPS]
    assert list(frame) == ["arch", "params", "flops", "macs", "weight_norm"]
    assert counted == [net], "once"


def test_copies_of_a_table_have_it_all(counted):
    table = tvtfast.score([network()], proxies="weight_norm", images=IMAGES)
    for twin in (copy.deepcopy(table), pickle.loads(pickle.dumps(table))):
        assert twin["flops"].tolist() == [FLOPS]
        assert twin.to_pandas().equals(table.to_pandas())
    assert len(counted) == 1


@pytest.mark.parametrize(
    "settings",
    [
        {"proxies": ["weight_norm", "flops"]},
        {"proxies": ["flops"]},
        {"proxies": ["weight_norm", "macs"]},
        {"proxies": "weight_norm", "constraints": {"macs": 1e9}},
        {"proxies": "weight_norm", "constraints": {"flops": 1e9}},
        {"proxies": [CombinedProxy("both", ("weight_norm", "flops"))]},
    ],
)
def test_those_that_were_asked_for_are_counted_at_once(counted, settings):
    tvtfast.score([network()], images=IMAGES, **settings)
    assert len(counted) == 1


class Broken(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, images):
        raise AssertionError("not today")


def test_a_count_that_fails_concerns_no_other_score():
    table = tvtfast.score([Broken()], proxies="weight_norm", images=IMAGES, on_error="raise")
    assert table["weight_norm"][0] > 0
    assert np.isnan(table["flops"]).all()
    failed = {"params": "ok", "flops": "error", "macs": "error", "weight_norm": "ok"}
    assert table.status.loc[0].to_dict() == failed
    assert table.reasons["flops"][0] == "AssertionError: not today"
    with pytest.raises(tvtfast.ScoringError, match="flops: AssertionError: not today"):
        tvtfast.score([Broken()], proxies=["flops"], images=IMAGES, on_error="raise")


@pytest.mark.parametrize(
    "name", ["pit_ti_224", pytest.param("cait_xxs24_224", marks=pytest.mark.slow)]
)
def test_models_that_pass_parameters_to_their_modules(name):
    timm = pytest.importorskip("timm")
    net = timm.create_model(name, num_classes=10)
    table = tvtfast.score(
        [net], proxies="weight_norm", images=torch.zeros(1, 3, 224, 224), on_error="raise"
    )
    assert (table.status == "ok").all(axis=None)
    assert table["flops"][0] > 1e9


def test_modules_are_ranked_without_counts(counted):
    nets = [network(), network()]
    table = tvtfast.score(nets, proxies="weight_norm", images=IMAGES)
    assert tvtfast.rank(table).idxmax() == int(np.argmax(table["weight_norm"]))
    assert not counted


def test_a_column_is_that_of_the_frame():
    archs = TINY.sample(5, 0)
    table = tvtfast.score(archs, space=TINY, proxies="weight_norm", init_seeds=2)
    columns = {name: table[name].copy() for name in table.higher_is_better}
    frame = table.to_pandas()
    for name, column in columns.items():
        assert column.tolist() == frame[name].tolist() == table[name].tolist()
    with pytest.raises(
        KeyError, match="no proxy weightnorm; it has params, flops, macs, weight_norm"
    ):
        table["weightnorm"]


def test_an_architecture_is_written_once(monkeypatch):
    """However many proxies and draws it is scored with."""
    archs = TINY.sample(7, 0)
    written = []
    text = type(TINY).text
    monkeypatch.setattr(
        type(TINY), "text", lambda self, arch: written.append(arch) or text(self, arch)
    )
    proxies = ("params", "flops", "weight_norm")
    tvtfast.score([*archs, archs[0]], space=TINY, proxies=proxies, init_seeds=3).to_pandas()
    assert written == [*archs, archs[0]]


@pytest.fixture(scope="module")
def setup():
    scoring = Scoring.of(
        space=TINY,
        proxies=["weight_norm", "throughput"],
        images=torch.zeros(2, 3, 32, 32),
        seed=3,
        device="cpu",
        num_classes=10,
    )
    return set_up(scoring)


def test_keys_are_hashes_of_everything(setup):
    candidate = as_candidates(TINY.sample(1, 0), TINY, setup.options, None)[0]
    options = {
        "num_classes": 10,
        "img_size": [32, 32],
        "patch_size": 16,
        "in_chans": 3,
        "distilled": False,
        "drop_path_rate": 0.1,
    }
    identity = {"space": TINY.name, "arch": candidate.label, "options": options}
    for proxy in setup.single:
        before, after = around_candidate(setup, proxy, 3)
        fields = {"candidate": identity} | shared_fields(setup, proxy, 3)
        assert f"{before}{candidate.identity}{after}" == canonical(fields)


STORED = {
    "params": "d03c0830f1290ba9c2573d5a94c90ecf6e9cea35a9a89fe5a307658bc4e23f90",
    "flops": "fd024e83ad56dc81ced76a148ee82948c564e94bf6d5798d99aca4e1b9532825",
    "weight_norm": "117ec5df90e619a6d63446fcd914efed34a732497addcf9a6c79fd38d91e6b0a",
}


@pytest.mark.parametrize("path", [None, "scores.sqlite"])
def test_stores_of_earlier_versions_are_read(tmp_path, path):
    """Under these keys they are kept since there are stores."""
    with ScoreStore(path and tmp_path / path) as store:
        settings = {"num_classes": 10, "img_size": 32, "seed": 3, "device": "cpu"}
        arch = TINY.sample(1, 0)
        table = tvtfast.score(arch, space=TINY, proxies="weight_norm", store=store, **settings)
        known = store.get(STORED.values())
        assert len(store) == len(known) == 3
        for name, key in STORED.items():
            assert known[key].value == table[name][0] and known[key].status == "ok"
        assert score_key({"b": 1, "a": [2]}) == score_key({"a": [2], "b": 1})
