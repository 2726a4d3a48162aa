"""Families of models: what a call leaves behind, and that stopping it loses nothing."""

from __future__ import annotations

import json

import pandas as pd
import pytest

import tvtfast
from tvtfast.cli import main
from tvtfast.common.run_folder import OtherRunError
from tvtfast.growing.rule import GrowthRules
from tvtfast.proxies import Proxy

SEED = "8,2,3|4,1,2|4,1,4|4,1,6|32"
RULES = GrowthRules(stop_params=1.5e7, max_params=2e7)


def grow(folder=None, proxies=("flops", "params"), **changes):
    arguments = {"rules": RULES, "num_classes": 10, "img_size": 32} | changes
    return tvtfast.grow(SEED, proxies=proxies, output_dir=folder, **arguments)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("family")


@pytest.fixture(scope="module")
def family(folder):
    return grow(folder, target_params=[9e6, 1e9])


def test_table_and_files(family, folder):
    table = pd.read_csv(folder / "growth.csv")
    assert table.groupby("step")["chosen"].sum().eq(1).all()
    assert table["flops_rank"].min() == 1
    models = pd.read_csv(folder / "family.csv")
    assert models["params"].tolist() == [model.params for model in family.models]
    assert models["width"].tolist() == [model.model.width for model in family.models]
    assert (table.loc[table["chosen"], "arch"].tolist()) == models["arch"].tolist()
    kept = table["rank_sum"].notna()
    assert (table["params"] <= 2e7)[kept].all() and (table["params"] > 2e7)[~kept].all()
    assert (folder / "family.png").read_bytes().startswith(b"\x89PNG")
    assert len(list((folder / "models").iterdir())) == len(family.models)
    assert not list(folder.rglob("*.tmp"))


def test_models_can_be_built(family, folder):
    entry = json.loads((folder / "models" / "step-001.json").read_text())
    module = tvtfast.build(entry["arch"], space=entry["space"], **entry["model_options"])
    assert sum(p.numel() for p in module.parameters()) == entry["params"]
    assert entry["params"] == family.models[0].params


def test_targets_pick_the_nearest(family, folder):
    picked = json.loads((folder / "picked.json").read_text())
    assert [entry["target_params"] for entry in picked] == [9e6, 1e9]
    assert picked[1]["params"] == family.models[-1].params
    nearest = min((model.params for model in family.models), key=lambda n: max(n / 9e6, 9e6 / n))
    assert picked[0]["params"] == nearest == family.pick(9e6).params
    with pytest.raises(ValueError, match="give a number above 0"):
        family.pick(0)


def test_what_was_scored_is_not_scored_again(family, folder, tmp_path):
    again = grow(folder)
    assert again.evaluated == 0 and again.steps == family.steps
    calls = []

    def interrupting(inputs):
        calls.append(1)
        if len(calls) == 20:
            raise KeyboardInterrupt
        return float(inputs.flops)

    def counting(inputs):
        calls.append(1)
        return float(inputs.flops)

    with pytest.raises(KeyboardInterrupt):
        grow(tmp_path, [Proxy("own", interrupting)])
    assert len(pd.read_csv(tmp_path / "growth.csv")["step"].unique()) == 1
    resumed = grow(tmp_path, [Proxy("own", counting)])
    whole = [one for step in resumed.steps for one in step.candidates if one.ranks is not None]
    assert len(calls) == len(whole) + 1
    assert [step.chosen for step in grow(None, [Proxy("own", counting)]).steps] == [
        step.chosen for step in resumed.steps
    ]


def test_a_folder_is_that_of_one_family(tmp_path):
    small = GrowthRules(stop_params=3e6, max_params=2e7)
    first = grow(tmp_path, rules=small, target_params=[1e6])
    more = GrowthRules(stop_params=6e6, max_params=2e7)
    longer = grow(tmp_path, rules=more, target_params=[3e6])
    assert longer.steps[: len(first.steps)] == first.steps and len(longer.steps) > len(first.steps)
    with pytest.raises(OtherRunError, match="stop_params was 6000000.0, now 3000000.0"):
        grow(tmp_path, rules=small)
    with pytest.raises(OtherRunError, match="max_params was"):
        grow(tmp_path, rules=GrowthRules(stop_params=6e6, max_params=3e7))
    with pytest.raises(OtherRunError, match="topology was"):
        tvtfast.grow(
            SEED.replace("8,2,3", "8,4,3"),
            proxies=("flops", "params"),
            output_dir=tmp_path,
            rules=more,
            num_classes=10,
            img_size=32,
        )
    with pytest.raises(OtherRunError, match="command was 'grow', now 'search'"):
        tvtfast.search("asvit", trials=2, proxies=["params"], run_dir=tmp_path)
    assert json.loads((tmp_path / "run.json").read_text())["status"] == "finished"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"proxies": ["tvt"], "teacher": None}, "proxy 'teacher_aware' needs images"),
        ({"rules": GrowthRules(stop_params=1e3, max_params=1e3)}, "at most 1,000 parameters"),
        ({"space": "pit"}, "architecture of space 'pit' is not JSON"),
        ({"target_params": [-1]}, "target_params is -1; give a number above 0"),
    ],
)
def test_bad_input(changes, message):
    with pytest.raises(ValueError, match=message):
        grow(**changes)


def test_command_line(tmp_path, capsys):
    best = tmp_path / "best.json"
    space = tvtfast.spaces.get("asvit")
    best.write_text(json.dumps({"space": "asvit", "arch": space.to_dict(space.decode(SEED))}))
    limits = ["--stop-params", "1e7", "--max-params", "2e7", "--target-params", "6e6"]
    arguments = ["--arch", str(best), "--proxies", "flops", "--output-dir", str(tmp_path / "out")]
    assert main(["grow", *arguments, *limits, "--batch-size", "2"]) == 0
    out = capsys.readouterr().out
    assert "models grew from one topology" in out and "nearest to 6 M: " in out
    assert (tmp_path / "out" / "config.yaml").exists()
    assert main(["grow"]) == 2
    assert "name the topology" in capsys.readouterr().err
    assert main(["grow", "--arch", "nowhere.json"]) == 2
    assert "no such file" in capsys.readouterr().err
