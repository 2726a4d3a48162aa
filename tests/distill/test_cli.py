"""The training commands, as a user types them."""

from __future__ import annotations

import json

import pytest

from tvtfast.cli import main

SHORT = ["--epochs", "1", "--batch-size", "32", "--device", "cpu"]


@pytest.fixture(scope="module")
def data(small, tmp_path_factory):
    """An archive of 64 and 20 digits, and the architecture of a search."""
    import numpy as np

    folder = tmp_path_factory.mktemp("data")
    arrays = {}
    for split, count in (("train", 64), ("test", 20)):
        part = small.part(split, count)
        arrays[f"x_{split}"] = np.stack([np.asarray(part.images[i]) for i in range(count)])
        arrays[f"y_{split}"] = part.labels.numpy()
    np.savez(folder / "mine.npz", **arrays)
    best = {
        "space": "test-small",
        "arch": small.SPACE.to_dict(small.ARCH),
        "model_options": {"img_size": [16, 16], "patch_size": 8, "num_classes": 10},
    }
    (folder / "best.json").write_text(json.dumps(best))
    return folder


@pytest.fixture(scope="module")
def teacher(data):
    arguments = ["--data-set", str(data / "mine.npz"), "--arch", "resnet8", "--img-size", "16"]
    assert main(["teacher", *arguments, "--output-dir", str(data / "teacher"), *SHORT]) == 0
    return data / "teacher"


@pytest.fixture(scope="module")
def student(data, teacher):
    arguments = ["--data-set", str(data / "mine.npz"), "--arch", str(data / "best.json")]
    options = ["--teacher", str(teacher), "--output-dir", str(data / "student"), "--logits", "soft"]
    assert main(["distill", *arguments, *options, *SHORT, "--pairs", "[[0,0],[2,2]]"]) == 0
    return data / "student"


def test_distill_prints_accuracy_and_folder(data, student, teacher, capsys):
    card = json.loads((student / "student.json").read_text())
    assert card["recipe"]["distillation"]["pairs"] == [[0, 0], [2, 2]]
    assert card["recipe"]["teacher"] == "resnet8" and card["model_options"]["distilled"]
    arguments = ["--data-set", str(data / "mine.npz"), "--arch", str(data / "best.json")]
    assert main(["distill", *arguments, "--guidance", "none", *SHORT]) == 0
    out = capsys.readouterr().out
    assert "% of those held out (epoch 1 of 1)" in out and str(data / "mine-plain-seed0") in out


def test_digits_bring_their_own_teacher(data, small, tmp_path, monkeypatch):
    monkeypatch.setattr("tvtfast.cli.training.digits_teacher", lambda progress: small.teacher())
    short = {None: small.part("train", 32), "eval": small.part("test", 8)}
    monkeypatch.setattr(
        "tvtfast.data.splits.load_dataset", lambda name, path, split=None: short[split]
    )
    arguments = ["--arch", str(data / "best.json"), "--output-dir", str(tmp_path / "student")]
    assert main(["distill", *arguments, *SHORT]) == 0
    card = json.loads((tmp_path / "student" / "student.json").read_text())
    assert card["recipe"]["teacher"] == "CifarResNet"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["distill"], "name the architecture: --arch"),
        (
            ["distill", "--arch", "none.json", "--guidance", "none"],
            "is neither an existing file nor an architecture as JSON",
        ),
        (["distill", "--arch", "BEST", "--data-set", "DATA"], "guidance 'linear' needs a teacher"),
        (["distill", "--arch", "BEST", "--teacher", "no/where"], "no teacher at no/where"),
        (["distill", "--arch", "BEST", "--guidance", "magic"], "allowed: None, linear"),
        (["teacher", "--arch", "resnet9"], "unknown teacher 'resnet9'"),
    ],
)
def test_bad_input_is_one_line(arguments, message, data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    files = {"BEST": str(data / "best.json"), "DATA": str(data / "mine.npz")}
    given = [files.get(argument, argument) for argument in arguments]
    assert main(given) == 2
    captured = capsys.readouterr()
    assert message in captured.err and "Traceback" not in captured.err
    assert not list(tmp_path.iterdir())
