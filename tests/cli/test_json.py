"""What every command prints with ``--json`` is what ``docs/cli.md`` says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tvtfast
from tvtfast.cli import main
from tvtfast.cli.main import COMMANDS
from tvtfast.spaces import AutoFormerSpace

PAGES = (parent / "docs" / "cli.md" for parent in Path(__file__).parents)
DOCS = next((page for page in PAGES if page.is_file()), None)
KINDS = {
    "text": lambda value: isinstance(value, str),
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "object": lambda value: isinstance(value, dict),
    "null": lambda value: value is None,
}
PIXELS = ["--img-size", "16", "--patch-size", "8"]
SHORT = ["--epochs", "1", "--batch-size", "16", "--device", "cpu", "--augmentation", "light"]

if DOCS is None:
    pytest.skip("the tests do not lie beside the documentation", allow_module_level=True)


@pytest.fixture(scope="module", autouse=True)
def space():
    name = "json-small"
    if name not in tvtfast.spaces.available():
        tvtfast.spaces.register(AutoFormerSpace(name, (16,), (11,), (2.0, 3.0), (2, 4)))
    return tvtfast.spaces.get(name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Sixty-four and twenty noisy images of two classes."""
    folder = tmp_path_factory.mktemp("json")
    rng = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 64), ("test", 20)):
        labels = np.arange(count) % 2
        noise = rng.integers(0, 120, (count, 16, 16, 3))
        arrays[f"x_{split}"] = (noise + 100 * labels[:, None, None, None]).astype(np.uint8)
        arrays[f"y_{split}"] = labels
    np.savez(folder / "mine.npz", **arrays)
    Image.fromarray(arrays["x_test"][0]).save(folder / "one.png")
    return folder


@pytest.fixture(scope="module")
def teacher(folder):
    arguments = ["--data-set", str(folder / "mine.npz"), "--arch", "resnet8", "--img-size", "16"]
    return ["teacher", *arguments, "--output-dir", str(folder / "teacher"), *SHORT]


@pytest.fixture(scope="module")
def student(folder, space):
    arch = json.dumps(space.to_dict(space.sample(1)[0]))
    arguments = ["--data-set", str(folder / "mine.npz"), "--arch", arch, "--space", space.name]
    options = ["--guidance", "none", "--output-dir", str(folder / "student"), *PIXELS, *SHORT]
    return ["distill", *arguments, *options]


def documented():
    """By command, or command and action, the types of the keys."""
    found = {}
    for part in re.split(r"^### ", DOCS.read_text(encoding="utf-8"), flags=re.M)[1:]:
        name = part.splitlines()[0]
        rows = re.findall(r"^\| `(.*?)` \| (.*?) \| ", part, flags=re.M)
        found[name] = {key: kinds.split(" or ") for key, kinds in rows}
    return found


def check(value, keys, path=""):
    """Hold a value to the documented keys: all are there, of their types, and there are no more."""
    if path in keys:
        assert any(KINDS[kind](value) for kind in keys[path]), (path, value)
        return {path}
    if isinstance(value, list):
        assert any(key.startswith(f"{path}[]") for key in keys), f"{path} is not documented"
        seen = [check(entry, keys, f"{path}[]") for entry in value]
        return set().union(*seen) if seen else {k for k in keys if k.startswith(f"{path}[]")}
    assert isinstance(value, dict), f"{path} is not documented"
    prefix = f"{path}." if path else ""
    anything = any(re.match(rf"{re.escape(prefix)}\*(\W|$)", key) for key in keys)
    seen = [check(entry, keys, prefix + ("*" if anything else key)) for key, entry in value.items()]
    return set().union(*seen)


def printed(arguments, capsys, status=0):
    capsys.readouterr()
    assert main([*arguments, "--json", "--quiet"]) == status
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 1 and (status or err == "")
    data = json.loads(out, parse_constant=lambda text: pytest.fail(f"{text} is no JSON"))
    keys = documented().get(" ".join(arguments[:2])) or documented()[arguments[0]]
    assert check(data, keys) == keys.keys()
    if "cost" in keys:
        cost = data["cost"]
        assert cost["wall_seconds"] > 0 and cost["core_hours"] > 0 and cost["starts"] >= 1
        assert ("seconds_per_candidate" in cost) == (arguments[0] in ("search", "grow"))
    return data


def test_every_command_is_documented():
    assert {name.split()[0] for name in documented()} == COMMANDS.keys()


def test_info(capsys):
    assert "attention_map" in {e["operator"] for e in printed(["info"], capsys)["operators"]}


def test_search_score_and_correlate(folder, space, capsys):
    run = ["search", "--space", space.name, "--proxies", "weight_norm", "--trials", "4", *PIXELS]
    front = ["--objectives", "weight_norm", "params", "--strategy", "random"]
    found = printed([*run, *front, "--output-dir", str(folder / "search")], capsys)
    assert found["candidates"] == 4 and found["best"]["params"] > 0 and found["front"]
    again = printed([*run, *front, "--output-dir", str(folder / "search")], capsys)
    assert again["evaluated"] == 0 and again["best"] == found["best"]

    archs = [json.dumps(space.to_dict(arch)) for arch in space.sample(2, 1)]
    score = ["score", "--space", space.name, "--proxies", "params", *PIXELS, "--arch"]
    scored = printed([*score, *archs], capsys)
    assert scored["candidates"][0]["proxies"]["params"]["status"] == "ok"
    assert printed([*score, archs[0]], capsys)["candidates"][0]["score"] is None

    tiny = tvtfast.spaces.get("autoformer-tiny")
    rows = [
        {"arch": tiny.to_dict(arch), "c100_kd_acc": 70.0 + index, "c100_base_acc": 60.0}
        for index, arch in enumerate(tiny.sample(4, 0))
    ]
    (folder / "truth.json").write_text(json.dumps({"autoformer": rows}))
    judged = ["correlate", "--truth", str(folder / "truth.json"), *PIXELS]
    options = ["--proxies", "params", "--resamples", "9", "--output-dir", str(folder / "corr")]
    printed([*judged, *options], capsys)


def test_plan(folder, space, capsys):
    run = ["plan", "search", "--space", space.name, "--proxies", "params", *PIXELS, "--trials", "8"]
    own = [
        "--device",
        "l4",
        "--seconds",
        "0.1",
        "--budget-hours",
        "1",
        "--output-dir",
        str(folder / "planned"),
    ]
    assert printed([*run, *own], capsys)["for_workers"][0]["fits"] > 8


def test_runs(folder, space, capsys):
    run = ["search", "--space", space.name, "--proxies", "weight_norm", *PIXELS, "--quiet"]
    made = [folder / "runs" / name for name in ("a", "b")]
    for path, trials in zip(made, ("3", "4"), strict=True):
        assert main([*run, "--trials", trials, "--output-dir", str(path)]) == 0
    assert len(printed(["runs", "list", str(folder / "runs")], capsys)["runs"]) == 2
    page = str(folder / "both.html")
    both = printed(["runs", "compare", *map(str, made), "--html", page], capsys)
    assert both["settings"]["trials"] == ["3", "4"] and both["page"] == page
    top = printed(["runs", "top", str(made[0]), "--proxy", "weight_norm"], capsys)
    assert len(top["contexts"][0]["best"]) == 3
    target = str(folder / "merged.sqlite")
    assert printed(["runs", "merge", *map(str, made), "-o", target], capsys)["scores"] == 12
    assert printed(["runs", "export", target], capsys)["scores"] == 12


def test_calibrate(folder, space, capsys):
    rows = [
        {"arch": space.to_dict(arch), "my_acc": 70.0 - index}
        for index, arch in enumerate(space.sample(5, 0))
    ]
    (folder / "results.json").write_text(json.dumps(rows))
    run = ["calibrate", "--trained", str(folder / "results.json"), "--space", space.name, *PIXELS]
    options = ["--proxies", "weight_norm", "--population", "9", "--next", "2"]
    found = printed([*run, *options, "--output-dir", str(folder / "calibrated")], capsys)
    assert found["trained"] == 5 and len(found["next"]) == 2


def test_scores_that_are_missing_have_a_status_and_a_reason(folder, space, capsys, monkeypatch):
    def failing(inputs):
        raise tvtfast.proxies.UndefinedScoreError("nothing to divide by")

    proxy = tvtfast.proxies.Proxy("json_failing", failing)
    monkeypatch.setitem(tvtfast.proxies.base._proxies, proxy.name, proxy)
    arch = json.dumps(space.to_dict(space.sample(1)[0]))
    run = ["score", "--space", space.name, "--proxies", proxy.name, "--arch", arch, *PIXELS]
    cell = printed(run, capsys)["candidates"][0]["proxies"][proxy.name]
    assert cell == {"value": None, "status": "nan", "reason": cell["reason"]}
    assert "nothing to divide by" in cell["reason"]


def test_grow(folder, capsys):
    topology = ["--arch", "8,2,3|4,1,2|4,1,4|4,1,6|32", "--proxies", "params", "--img-size", "32"]
    limits = ["--stop-params", "1e5", "--max-params", "4e6", "--target-params", "2.1e6"]
    found = printed(["grow", *topology, *limits, "--output-dir", str(folder / "grown")], capsys)
    assert found["picked"][0]["met"] is True


def test_trainings_export_and_predict(folder, teacher, student, capsys):
    assert printed(teacher, capsys)["epochs"] == 1
    assert printed(student, capsys)["epoch"] == 1
    truth = printed(["truth", "collect", str(folder)], capsys)
    assert truth["rows"][0]["plain_accuracy"] is not None and truth["rows"][0]["plain_n"] == 1
    export = ["export", "--student", str(folder / "student"), "--output", str(folder / "out")]
    assert "local-dir:" in printed(export, capsys)["load"]
    predict = ["predict", "--student", str(folder / "student"), "--images"]
    found = printed([*predict, str(folder / "one.png"), "--top", "2"], capsys)["images"]
    assert sum(one["probability"] for one in found[0]["classes"]) == pytest.approx(1)
    measure = ["evaluate", str(folder / "student"), "--data-set", str(folder / "mine.npz")]
    assert printed(measure, capsys)["images"] > 0
    (folder / "bad.png").write_bytes(b"no image")
    both = [*predict, str(folder / "one.png"), str(folder / "bad.png")]
    found = printed(both, capsys, status=2)["images"]
    assert [one["status"] for one in found] == ["ok", "error"] and "bad.png" in found[1]["reason"]


def test_supernet(folder, capsys):
    run = ["supernet", "--space", "vitas-deit", "--data-set", str(folder / "mine.npz"), *PIXELS]
    short = [*SHORT, "--warmup-epochs", "0", "--output-dir", str(folder / "super")]
    found = printed([*run, *short], capsys)
    assert found["space"] == "vitas-deit"


def test_run(folder, space, teacher, capsys):
    assert main(teacher) == 0
    images = ["run", "--data-set", str(folder / "mine.npz"), "--space", space.name, *PIXELS]
    how = ["--budget", "0.033", "--trials", "2", "--teacher", str(folder / "teacher"), *SHORT]
    found = printed(
        [*images, *how, "--compare", "false", "--output-dir", str(folder / "all")], capsys
    )
    assert found["accuracy_of_equal_size"] is None and found["best"]["params"] <= 33000
    truth = printed(["truth", "collect", str(folder / "all")], capsys)
    assert truth["rows"][0]["distilled_accuracy"] == found["accuracy"]
    assert [Path(one["folder"]).name for one in truth["left_out"]] == ["export"]
