"""Families of models, trained one after the other."""

from __future__ import annotations

import json

import numpy as np
import pytest

import tvtfast
from tvtfast.cli import main
from tvtfast.distill import Recipe
from tvtfast.models import load_student

SEED = "4,2,2|2,1,2|2,1,2|2,1,2|16"
TARGETS = ["3e5", "3.1e5", "4.2e5"]

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Sixty-four and twenty noisy images of two classes."""
    rng = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 64), ("test", 20)):
        labels = np.arange(count) % 2
        noise = rng.integers(0, 120, (count, 16, 16, 3))
        arrays[f"x_{split}"] = (noise + 100 * labels[:, None, None, None]).astype(np.uint8)
        arrays[f"y_{split}"] = labels
    path = tmp_path_factory.mktemp("images") / "mine.npz"
    np.savez(path, **arrays)
    return str(path)


@pytest.fixture(scope="module")
def arguments(images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("family")
    growth = ["grow", "--arch", SEED, "--data-set", images, "--proxies", "params"]
    sizes = ["--start-width", "4", "--target-params", *TARGETS, "--output-dir", str(folder)]
    short = ["--epochs", "2", "--train-batch-size", "32", "--augmentation", "none"]
    quickly = ["--progressive-tokens", "[[0,2],[0.5,1]]", "--device", "cpu", "--quiet", "--json"]
    return [*growth, *sizes, "--train", "true", *short, *quickly], folder


@pytest.fixture(scope="module")
def trained(arguments):
    """The command, stopped in its second training, and once more to the end."""
    from tvtfast.training.training_folder import TrainingFolder

    command, folder = arguments
    save, calls = TrainingFolder.save, []

    def stop_in_the_second(self, state, history):
        save(self, state, history)
        calls.append(self.path.name)
        if len(calls) == 3:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(TrainingFolder, "save", stop_in_the_second)
        assert main(command) == 130
        assert main(command) == 0
    return folder, calls


@pytest.mark.slow
def test_every_picked_model_is_trained_once(trained):
    folder, epochs = trained
    picked = json.loads((folder / "picked.json").read_text())
    assert [str(entry["met"]) for entry in picked] == ["True"] * 3
    assert picked[0]["arch"] == picked[1]["arch"] != picked[2]["arch"]
    assert epochs == ["target-300000"] * 2 + ["target-420000"] * 2, "nothing was trained twice"
    assert picked[0]["student"] == picked[1]["student"] == "students/target-300000"
    for entry in picked:
        student = load_student(folder / entry["student"])
        assert sum(p.numel() for p in student.module.parameters()) == entry["params"]
        assert student.card.accuracy == entry["accuracy"] and entry["epochs"] == 2


@pytest.mark.slow
def test_accuracies_stand_in_the_report(trained):
    folder, _ = trained
    page = (folder / "report.html").read_text(encoding="utf-8")
    for entry in json.loads((folder / "picked.json").read_text()):
        assert f"{entry['accuracy']:.1f}\N{NO-BREAK SPACE}%" in page
        assert f"<td>{entry['student']}</td>" in page


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--train", "true"], "--train trains the models of --target-params"),
        (["--epochs", "3"], "epochs: only for --train true"),
        (["--lr", "1e-3", "--guidance", "linear"], "lr, guidance: only for --train true"),
    ],
)
def test_training_flags_that_nobody_reads(flags, message, capsys, tmp_path):
    assert main(["grow", "--arch", SEED, *flags, "--output-dir", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_family_is_trained_from_python(images, tmp_path):
    rules = tvtfast.growing.GrowthRules(start_width=4, tolerance=0.2)
    sizes = {"num_classes": 2, "img_size": 16, "target_params": [3e5]}
    family = tvtfast.grow(SEED, proxies=["params"], rules=rules, output_dir=tmp_path, **sizes)
    recipe = Recipe(epochs=1, batch_size=32, augmentation="none")
    trained = tvtfast.pipeline.train_family(family, tmp_path, images, recipe=recipe, device="cpu")
    (entry,) = json.loads((tmp_path / "picked.json").read_text())
    assert (
        entry["accuracy"] == trained[3e5].accuracy and entry["student"] == "students/target-300000"
    )
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert f"{entry['accuracy']:.1f}\N{NO-BREAK SPACE}%" in page


def test_a_family_without_picks_is_not_trained(images, tmp_path):
    rules = tvtfast.growing.GrowthRules(start_width=4, stop_params=1)
    family = tvtfast.grow(SEED, proxies=["params"], rules=rules, num_classes=2, img_size=16)
    with pytest.raises(ValueError, match="no picks to train; grow it with target_params"):
        tvtfast.pipeline.train_family(family, tmp_path, images)
