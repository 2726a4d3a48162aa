"""Truth from student folders."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from statistics import stdev

import pandas as pd
import pytest
from torch import nn

import tvtfast
from tvtfast.cli import main
from tvtfast.common.files import write_json
from tvtfast.common.normalization import IMAGENET_NORMALIZATION
from tvtfast.models import StudentCard, save_student
from tvtfast.spaces import ModelOptions, get
from tvtfast.students.collecting import collect
from tvtfast.training.recipe import Recipe

OPTIONS = asdict(ModelOptions.of(img_size=32, patch_size=8, num_classes=10))
PIT = get("pit").sample(4, 0)
TAUGHT = {"teacher": "resnet8", "teacher_fingerprint": "f" * 8, "distillation": {"pairs": None}}
PLAIN = {"teacher": None, "teacher_fingerprint": None, "distillation": None}


def student(folder, arch, accuracy, seed=0, *, space="pit", how=PLAIN, status="finished", **recipe):
    """A student folder with a card like those of a training, and hardly any weights."""
    known = asdict(Recipe(epochs=2)) | {"dataset": "digits", "pixels": ["a", "b"], "epoch": 1}
    options = OPTIONS | {"distilled": recipe.pop("distilled", False)}
    options |= {"patch_size": recipe.pop("patch_size", 8)}
    card = StudentCard(
        space=space,
        arch=None if space is None else get(space).to_dict(arch),
        model_options=options,
        normalization=IMAGENET_NORMALIZATION,
        classes=None,
        dataset=recipe.get("dataset", "digits"),
        accuracy=accuracy,
        held_out_accuracy=recipe.pop("held_out", None),
        recipe=known | {"seed": seed, **how, **recipe},
    )
    save_student(folder, nn.Linear(1, 1), card)
    if status is not None:
        write_json(folder / "run.json", {"command": "distill", "settings": {}, "status": status})
    return folder


def test_seeds_are_averaged_and_kinds_kept_apart(tmp_path):
    accuracies = {0: 50.0, 1: 52.0, 2: 57.0}
    for seed, accuracy in accuracies.items():
        chosen = {"distilled": True, "held_out": accuracy + 2}
        student(tmp_path / f"a{seed}", PIT[0], accuracy, seed, how=TAUGHT, **chosen)
    student(tmp_path / "deep" / "b", PIT[1], 61.0, 4, how=TAUGHT, distilled=True)
    student(tmp_path / "plain", PIT[0], 40.0, 7)
    cut = {"inherited_from": "s" * 8, "side": 0}
    student(tmp_path / "cut", PIT[2], 20.0, how=cut, status=None)
    frame = tvtfast.collect_truth(tmp_path)
    assert frame["space"].tolist() == ["pit"] * 3
    rows = {
        get("pit").decode(arch): row for arch, row in zip(frame["arch"], frame.index, strict=True)
    }
    first = frame.loc[rows[PIT[0]]]
    assert first["distilled_accuracy"] == 53 and first["distilled_n"] == 3
    assert first["distilled_sd"] == pytest.approx(stdev(accuracies.values()))
    assert first["distilled_seeds"] == "0 1 2" and first["plain_accuracy"] == 40
    assert first["distilled_held_out_accuracy"] == 55
    second = frame.loc[rows[PIT[1]]]
    assert pd.isna(second["distilled_held_out_accuracy"])
    assert second[["distilled_accuracy", "distilled_n"]].tolist() == [61, 1]
    assert pd.isna(second["distilled_sd"]) and pd.isna(second["plain_accuracy"])
    third = frame.loc[rows[PIT[2]]]
    assert third["inherited_accuracy"] == 20 and pd.isna(third["epochs"])
    assert frame["distilled_recipe"].nunique() == frame["plain_recipe"].nunique() == 1
    known = first[["data_set", "img_size", "patch_size", "epochs", "lr", "teacher"]].tolist()
    assert known == ["digits", 32, 8, 2, 5e-4, "resnet8"]
    assert second["params"] == get("pit").params(PIT[1], **OPTIONS | {"distilled": True})
    assert second["flops"] == get("pit").flops(PIT[1], **OPTIONS | {"distilled": True})


def test_what_does_not_count_is_left_out_and_said(tmp_path, caplog):
    kept = student(tmp_path / "kept", PIT[0], 50.0)
    shutil.copytree(kept, tmp_path / "same")
    shutil.copytree(kept, tmp_path / "export")
    (tmp_path / "export" / "run.json").unlink()
    student(tmp_path / "stopped", PIT[1], 50.0, status="interrupted")
    student(tmp_path / "unmeasured", PIT[2], None)
    student(tmp_path / "module", None, 50.0, space=None)
    student(tmp_path / "deit", get("vitas-deit").sample(1)[0], 50.0, space="vitas-deit")
    damaged = student(tmp_path / "damaged", PIT[3], 50.0) / "student.json"
    damaged.write_text(damaged.read_text().replace("50.0", "99.0"))
    foreign = student(tmp_path / "foreign", PIT[3], 50.0) / "student.json"
    card = json.loads(foreign.read_text())
    card = {name: value for name, value in card.items() if not name.endswith("sha256")}
    foreign.write_text(json.dumps(card | {"version": 1, "space": "elsewhere"}))
    student(tmp_path / "finetuned", PIT[3], 50.0, weights="of another training")
    (tmp_path / "teacher").mkdir()
    given = [tmp_path / name for name in ("kept", "teacher")]
    found = collect([*given, tmp_path, kept], space="pit")
    assert found.frame["plain_accuracy"].tolist() == [50.0]
    reasons = {folder.name: reason for folder, reason in found.left_out}
    assert len(reasons) == len(found.left_out) == 10
    for name, reason in {
        "same": f"it is the same training as {kept}",
        "export": "no run.json says that its training ended, as in an exported copy",
        "stopped": "its training did not end (it is interrupted); the same command goes on",
        "unmeasured": "its accuracy was not measured",
        "module": "it is a model of timm or a module, no architecture of a space",
        "deit": "it is of space vitas-deit",
        "teacher": "it holds no student",
        "finetuned": "it was trained on from other weights than those of seed 0",
    }.items():
        assert reasons[name] == reason
    assert "its SHA-256 is another" in reasons["damaged"]
    assert reasons["foreign"] == "it is of space elsewhere"
    assert "unknown space 'elsewhere'" in str(collect([tmp_path]).left_out)
    tvtfast.collect_truth(tmp_path, space="pit")
    assert sum("left out: " in line for line in caplog.messages) == 9


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 9}, r"differ in epochs \(2, 9\): their accuracies cannot be compared"),
        ({"lr": 1e-3, "pixels": ["a", "c"]}, r"differ in lr \(0.0005, 0.001\), pixels"),
        ({"dataset": "mine"}, r"differ in data_set \(digits, mine\)"),
        ({"patch_size": 4}, r"differ in patch_size \(8, 4\)"),
        ({"how": TAUGHT, "epochs": 9}, r"differ in epochs \(2, 9\)"),
    ],
)
def test_other_recipes_are_refused(changes, message, tmp_path):
    student(tmp_path / "a", PIT[0], 50.0)
    student(tmp_path / "b", PIT[1], 50.0, **changes)
    with pytest.raises(ValueError, match=f"{tmp_path}/a and {tmp_path}/b {message}"):
        tvtfast.collect_truth(tmp_path)


def test_other_teachers_and_superformers_are_refused(tmp_path):
    student(tmp_path / "a", PIT[0], 50.0, how=TAUGHT)
    student(tmp_path / "b", PIT[1], 50.0, how=TAUGHT | {"teacher": "resnet20"})
    with pytest.raises(ValueError, match=r"differ in teacher \(resnet8, resnet20\)"):
        tvtfast.collect_truth([tmp_path / "a", tmp_path / "b"])
    student(tmp_path / "c", PIT[0], 50.0, how={"inherited_from": "x", "side": 0})
    student(tmp_path / "d", PIT[1], 50.0, how={"inherited_from": "y", "side": 0})
    with pytest.raises(ValueError, match=r"differ in inherited_from \(x, y\)"):
        tvtfast.collect_truth([tmp_path / "c", tmp_path / "d"])


def test_nothing_to_collect(tmp_path):
    with pytest.raises(ValueError, match="no trained architecture was found .*it holds no student"):
        tvtfast.collect_truth(tmp_path)
    with pytest.raises(FileNotFoundError, match="none is no folder; give run folders"):
        tvtfast.collect_truth(tmp_path / "none")
    with pytest.raises(ValueError, match="unknown space 'vit'"):
        tvtfast.collect_truth(tmp_path, space="vit")


def test_the_table_is_judged_by_as_it_is(tmp_path, capsys, monkeypatch):
    """What is printed is read without a flag, empty cells and all."""
    space = get("pit")
    archs = sorted(space.sample(4, 0), key=lambda arch: space.params(arch, **OPTIONS))
    for index, arch in enumerate(archs):
        student(tmp_path / f"k{index}", arch, 40.0 + index, space=space.name, how=TAUGHT)
    student(tmp_path / "p", archs[0], 30.0, space=space.name)
    capsys.readouterr()
    assert main(["truth", "collect", str(tmp_path)]) == 0
    printed = capsys.readouterr()
    truth = tmp_path / "truth.csv"
    truth.write_text(printed.out)
    assert printed.err == "" and len(printed.out.splitlines()) == 5
    assert main(["truth", "collect", str(tmp_path), "--output", str(tmp_path / "o.csv")]) == 0
    assert (tmp_path / "o.csv").read_text() == printed.out
    assert f"4 architectures  {tmp_path / 'o.csv'}" in capsys.readouterr().out

    monkeypatch.chdir(tmp_path)
    judged = ["correlate", "--truth", str(truth), "--proxies", "params", "--resamples", "5"]
    assert main(judged) == 0
    out, err = capsys.readouterr()
    assert f"as {truth} says: --img-size 32 --patch-size 8 --num-classes 10" in err
    assert "columns that are no truth: space" not in err and "epochs" in err
    assert "no value of params and plain_accuracy: 1 candidates have score and accuracy, 3" in out
    frame = pd.read_csv("runs/correlate/correlations.csv").set_index(["proxy", "truth"])
    assert frame.loc[("params", "distilled_accuracy"), "tau"] == pytest.approx(1)
    assert frame.loc[("params", "plain_accuracy"), "n"] == 1
    page = (tmp_path / "runs/correlate/correlation.html").read_text()
    assert "1 candidates have score and accuracy, 3 are needed" in page
    rows = tvtfast.collect_truth(tmp_path)
    table = tvtfast.score(rows["arch"], space=space, proxies=["params"], img_size=32, patch_size=8)
    agreement = tvtfast.correlate(table, rows, n_resamples=5)
    assert set(agreement["truth"]) == {"distilled_accuracy", "plain_accuracy"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "say what to do: tvtfast truth collect"),
        (["colect", "x"], "unknown action 'colect'; known: collect; did you mean collect?"),
        (["collect"], "name the folders of the runs"),
        (["collect", "nowhere"], "nowhere is no folder"),
        (["collect", ".", "--space", "vit"], "unknown space 'vit'"),
        (["collect", ".", "--output", "."], "--output is '.', which is a folder"),
    ],
)
def test_bad_input_is_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["truth", *arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err and len(captured.err.splitlines()) == 1 and not captured.out
