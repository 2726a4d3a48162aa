"""A training folder is that of one training: of these pixels, this teacher, these weights."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
import torch
from PIL import Image

import tvtfast
from tvtfast.cli import main
from tvtfast.common.run_folder import BusyError, OtherRunError
from tvtfast.data import VisionDataset
from tvtfast.distill import Recipe, distill, train_teacher
from tvtfast.models import CifarResNet
from tvtfast.training.training_folder import TrainingFolder

pytestmark = pytest.mark.usefixtures("one_thread")

RECIPE = Recipe(epochs=1, batch_size=4, augmentation="none")


def fold(root, seed):
    """Eight training images and four for testing of noise, the same names and labels."""
    random = np.random.default_rng(seed)
    for split, count in (("train", 4), ("test", 2)):
        for name in ("ant", "bee"):
            (root / split / name).mkdir(parents=True)
            for index in range(count):
                pixels = random.integers(0, 256, (16, 16, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{index}.png")
    return root


def train(small, folder, data, **changes):
    arguments = {"space": small.SPACE, "recipe": RECIPE, "device": "cpu"} | changes
    options = {"img_size": 16, "patch_size": 8}
    return distill(small.ARCH, data, output_dir=folder, **arguments, **options)


def test_other_pixels_of_the_same_labels_are_another_training(small, tmp_path, monkeypatch, capsys):
    """fold1/data, then fold2/data: the second must not be given the first one's student."""
    first = fold(tmp_path / "fold1" / "data", 1)
    second = fold(tmp_path / "fold2" / "data", 2)
    trained = train(small, tmp_path / "student", first)
    weights = (tmp_path / "student" / "model.safetensors").read_bytes()
    assert train(small, tmp_path / "student", first).history == trained.history
    with pytest.raises(OtherRunError, match="holds another run .pixels was "):
        train(small, tmp_path / "student", second)
    assert (tmp_path / "student" / "model.safetensors").read_bytes() == weights

    monkeypatch.chdir(tmp_path)
    arch = json.dumps(small.SPACE.to_dict(small.ARCH))
    flags = ["--arch", arch, "--space", small.SPACE.name, "--guidance", "none", "--epochs", "1"]
    sizes = ["--batch-size", "4", "--img-size", "16", "--patch-size", "8", "--device", "cpu"]
    for data in (first, second):
        assert main(["distill", *flags, *sizes, "--data-set", str(data)]) == 0
    told = capsys.readouterr()
    folders = sorted(path.name for path in (tmp_path / "runs").iterdir())
    assert folders[0] == "data-plain-seed0" and len(folders) == 2
    assert folders[1].startswith("data-plain-seed0-") and f"runs/{folders[1]}" in told.out
    assert "holds another run (pixels was" in told.err
    named = [*flags, *sizes, "--data-set", str(second), "--output-dir", "runs/data-plain-seed0"]
    assert main(["distill", *named]) == 2
    assert "choose another output folder" in capsys.readouterr().err


def test_another_teacher_and_other_weights_are_another_training(small, tmp_path):
    small.train(tmp_path, epochs=1)
    other = tvtfast.load_teacher(tvtfast.initialize_(CifarResNet(8, 10), seed=2), input_size=16)
    with pytest.raises(OtherRunError, match="teacher_fingerprint was "):
        small.train(tmp_path, epochs=1, teacher=other)
    with pytest.raises(OtherRunError, match="seed was 0, now 1; weights was "):
        small.train(tmp_path, epochs=1, seed=1)


def test_classes_and_normalisation_are_part_of_the_pixels(small, tmp_path):
    def named(names):
        part = small.part("train", 40)
        chosen = [part.images[index] for index in range(40)]
        return VisionDataset(chosen, part.labels, names, name="part", split="train", img_size=16)

    train(small, tmp_path, named("abcdefghij"), test=small.part("test", 8))
    with pytest.raises(OtherRunError, match="pixels was "):
        train(small, tmp_path, named("jihgfedcba"), test=small.part("test", 8))


def test_a_teacher_of_other_pixels_is_another_one(tmp_path):
    arguments = {"output_dir": tmp_path / "teacher", "recipe": RECIPE, "img_size": 16}
    train_teacher("resnet8", fold(tmp_path / "a" / "data", 1), **arguments)
    with pytest.raises(OtherRunError, match="pixels was "):
        train_teacher("resnet8", fold(tmp_path / "b" / "data", 2), **arguments)


def test_a_training_of_an_earlier_version_goes_on(small, tmp_path, interrupted, caplog):
    """It kept its settings in last.pt alone, without pixels."""
    whole = small.train(tmp_path / "whole", epochs=2)
    with interrupted():
        small.train(tmp_path / "old", epochs=2)
    (tmp_path / "old" / "run.json").unlink()
    state = torch.load(tmp_path / "old" / "last.pt", weights_only=True)
    for name in ("pixels", "network", "features"):
        state["settings"].pop(name)
    state.pop("command")
    state["version"] = 1
    torch.save(state, tmp_path / "old" / "last.pt")
    with pytest.raises(OtherRunError, match="lr was 0.0005, now 0.001"):
        small.train(tmp_path / "old", epochs=2, lr=0.001)
    with caplog.at_level(logging.WARNING, "tvtfast"):
        continued = small.train(tmp_path / "old", epochs=2)
    assert "begun by an earlier version, which did not record features, network, pixels" in (
        caplog.text
    )
    assert continued.history[1]["loss"] == whole.history[1]["loss"]
    (tmp_path / "old" / "run.json").unlink()
    (tmp_path / "old" / "last.pt").unlink()
    with pytest.raises(OtherRunError, match="of which no training is on record"):
        small.train(tmp_path / "old", epochs=2)


def test_two_trainings_at_once(small, tmp_path, monkeypatch):
    refused = []
    save = TrainingFolder.save

    def save_and_try(self, state, history):
        save(self, state, history)
        if not refused:
            refused.append(True)
            with pytest.raises(BusyError, match="works on .* or choose another output folder"):
                small.train(tmp_path, epochs=2)

    monkeypatch.setattr(TrainingFolder, "save", save_and_try)
    small.train(tmp_path, epochs=2)
    record = json.loads((tmp_path / "run.json").read_text())
    assert refused and record["status"] == "finished" and record["command"] == "distill"
