"""Families of models: what a call leaves behind, and that stopping it loses nothing."""

from __future__ import annotations

import json

import pandas as pd
import pytest

import tvtfast
from tvtfast.cli import main
from tvtfast.common import board
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
    return grow(folder, target_params=[1e5, 9e6])


def test_growth_has_a_page_with_its_steps(tmp_path, monkeypatch):
    monkeypatch.setattr(board, "PERIOD", 0.01)
    family = grow(tmp_path)
    text = (tmp_path / "live" / "data.js").read_text("utf-8")
    page = json.loads(text.removeprefix("tvtfastLive(").removesuffix(");\n"))
    grown = page["curves"]["model of the step"]["y"]
    assert grown == [step.model.params / 1e6 for step in family.steps]


def test_table_and_files(family, folder):
    table = pd.read_csv(folder / "growth.csv")
    per_step = table.groupby(["step", "target_params"], dropna=False)
    assert per_step["chosen"].sum().eq(1).all()
    assert table["flops_rank"].min() == 1
    models = pd.read_csv(folder / "family.csv")
    assert models["params"].tolist() == [model.params for model in family.models]
    assert models["width"].tolist() == [model.model.width for model in family.models]
    assert sorted(table.loc[table["chosen"], "arch"]) == sorted(models["arch"])
    table = table[(table["step"] > 0) & table["target_params"].isna()]
    kept = table["rank_sum"].notna()
    assert (table["params"] <= 2e7)[kept].all() and (table["params"] > 2e7)[~kept].all()
    assert (folder / "family.png").read_bytes().startswith(b"\x89PNG")
    assert len(list((folder / "models").iterdir())) == len(family.models)
    assert not list(folder.rglob("*.tmp"))


def test_models_can_be_built(family, folder):
    entry = json.loads((folder / "models" / "step-001.json").read_text())
    module = tvtfast.build(entry["arch"], space=entry["space"], **entry["model_options"])
    assert sum(p.numel() for p in module.parameters()) == entry["params"]
    assert entry["params"] == family.steps[1].model.params


def test_targets_are_met_or_it_is_said_that_they_are_not(family, folder):
    picked = json.loads((folder / "picked.json").read_text())
    assert [entry["target_params"] for entry in picked] == [1e5, 9e6]
    below, met = picked
    assert not below["met"] and "fewer than the smallest model has, 2.07 M" in below["reason"]
    assert below["params"] == family.models[0].params == family.pick(1e5).params
    assert met["met"] and met["reason"] is None and abs(met["deviation"]) <= 0.05
    assert met["params"] == family.picks[1].model.params
    assert tvtfast.spaces.get("asvit").params(met["arch"], num_classes=10) == met["params"]
    with pytest.raises(ValueError, match="give a number above 0"):
        family.pick(0)


def test_a_target_below_the_topology_is_told_before_anything_is_scored(caplog):
    def interrupted(inputs):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        grow(proxies=[Proxy("own", interrupted)], target_params=[1e5])
    assert caplog.text.count("0.1 M parameters are fewer than the smallest model has") == 1


def test_a_target_beyond_the_family_is_told(caplog):
    family = grow(rules=GrowthRules(stop_params=2e6, max_params=2e7), target_params=[1.9e7])
    (pick,) = family.picks
    assert not pick.met and pick.model == family.models[-1] and pick.deviation < -0.5
    assert "19 M parameters are more than the largest model has" in pick.reason
    assert pick.reason in caplog.text
    between = grow(rules=GrowthRules(max_params=2e7, tolerance=1e-6), target_params=[4e6])
    assert "4 M parameters lie between models" in between.picks[0].reason


def test_the_report_holds_the_family(family, folder):
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "fewer than the smallest model has" in page and "data:image/png;base64," in page
    for model in family.models:
        assert f"<td>{'-'.join(map(str, model.model.depths))}</td>" in page
    assert "rank" in page and "Accuracy" not in page, "nothing was trained"


def test_what_was_scored_is_not_scored_again(family, folder, tmp_path):
    again = grow(folder)
    assert again.evaluated == 0
    assert again.steps == tuple(step for step in family.steps if step.target is None)
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
    assert pd.read_csv(tmp_path / "growth.csv")["step"].unique().tolist() == [0, 1]
    resumed = grow(tmp_path, [Proxy("own", counting)])
    whole = [one for step in resumed.steps for one in step.candidates if one.ranks is not None]
    assert len(calls) == len(whole) + 2, "the topology has no rank; one call was interrupted"
    assert [step.chosen for step in grow(None, [Proxy("own", counting)]).steps] == [
        step.chosen for step in resumed.steps
    ]


def test_a_folder_is_that_of_one_family(tmp_path):
    small = GrowthRules(stop_params=3e6, max_params=2e7)
    first = grow(tmp_path, rules=small, target_params=[1e6])
    more = GrowthRules(stop_params=6e6, max_params=2e7)
    longer = grow(tmp_path, rules=more, target_params=[3e6])
    assert longer.steps[: len(first.steps)] == first.steps and len(longer.steps) > len(first.steps)
    again = grow(tmp_path, rules=small)
    assert again.evaluated == 0 and again.steps == first.steps[: len(again.steps)]
    assert len(list((tmp_path / "models").iterdir())) == len(again.models)
    assert not (tmp_path / "picked.json").exists()
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
        ({"rules": GrowthRules(start_width=1)}, "need a channel each"),
        ({"target_params": [1e9]}, "target_params is 1,000,000,000 and max_params 20,000,000"),
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
    arguments += ["--width-ratios", "[1.1,1.3]", "--width-scale", "4"]
    assert main(["grow", *arguments, *limits, "--batch-size", "2"]) == 0
    out = capsys.readouterr().out
    assert "models grew from one topology" in out and "to 6 M (" in out
    assert (tmp_path / "out" / "report.html").exists()
    assert (tmp_path / "out" / "config.yaml").exists()
    table = pd.read_csv(tmp_path / "out" / "growth.csv")
    assert table[table["step"] == 1]["width"].unique().tolist() == [36, 40]
    again = "tvtfast grow --cfg " + str(tmp_path / "out" / "config.yaml")
    assert again in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    config = [*again.split()[1:], "--output-dir", str(tmp_path / "out"), "--json", "--quiet"]
    assert main(config) == 0
    assert json.loads(capsys.readouterr().out)["evaluated"] == 0
    assert main(["grow"]) == 2
    assert "name the topology" in capsys.readouterr().err
    assert main(["grow", "--arch", "nowhere.json"]) == 2
    assert "is neither an existing file nor" in capsys.readouterr().err
