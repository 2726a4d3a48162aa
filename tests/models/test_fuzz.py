"""Damaged weights and cards: documented errors, in time and within memory."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
import safetensors.torch
import torch

import tvtfast
from tvtfast.common.normalization import IMAGENET_NORMALIZATION
from tvtfast.common.run_folder import OtherRunError
from tvtfast.models import CifarResNet, StudentCard, load_student, save_student
from tvtfast.models.checkpoint import load_weights
from tvtfast.spaces import ModelOptions
from tvtfast.training.sealed_file import save_sealed
from tvtfast.training.training_folder import LAST, TrainingFolder

COUNTS = [120, pytest.param(600, marks=pytest.mark.slow)]
SPACE = tvtfast.spaces.AutoFormerSpace("test-fuzz", (16,), (1,), (2.0,), (2,))


@pytest.fixture
def survey(fuzzing, tmp_path):
    """Damage a file, load each form of it by ``load``, and say how many were refused."""

    def run(path, count, load, *more):
        inputs = fuzzing.mutations(path.read_bytes(), count, seed=0)
        outcomes = fuzzing.survey(
            load,
            path,
            inputs,
            documented=(ValueError, OSError, *more),
            memory=128 * fuzzing.MEBIBYTE,
        )
        assert sum(outcomes.values()) == count
        return count - outcomes[""]

    return run


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".legacy"])
def test_weights(survey, tmp_path, count, suffix):
    weights = tvtfast.initialize_(CifarResNet(8, 4)).state_dict()
    path = tmp_path / f"weights{suffix}"
    if suffix == ".safetensors":
        safetensors.torch.save_file(weights, path)
    else:
        whole = {"state_dict": weights, "epoch": 3}
        torch.save(whole, path, _use_new_zipfile_serialization=suffix == ".pth")
    assert survey(path, count, load_weights) > 0


@pytest.mark.parametrize("count", COUNTS)
def test_checkpoints_of_teachers(survey, tmp_path, count):
    path = tmp_path / "teacher.pth"
    torch.save(tvtfast.initialize_(CifarResNet(8, 4)).state_dict(), path)
    assert survey(path, count, tvtfast.load_teacher) > 0


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("version", [1, 2])
def test_cards_of_teachers(survey, tmp_path, count, version):
    folder = tmp_path / "teacher"
    module = tvtfast.initialize_(CifarResNet(8, 4))
    tvtfast.load_teacher(module, normalization=IMAGENET_NORMALIZATION).save(
        folder, dataset="d", accuracy=1.0
    )
    path = folder / "teacher.json"
    unsealed(path, version)
    refused = survey(path, count, lambda path: tvtfast.load_teacher(path.parent))
    assert refused > (0 if version == 1 else 0.95 * count)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("version", [1, 2])
def test_cards_of_students(survey, tmp_path, count, version):
    folder = tmp_path / "student"
    arch = tvtfast.spaces.AutoFormerArch(16, 1, (2.0,), (2,))
    given = ModelOptions.of(num_classes=3, img_size=16, patch_size=8)
    options = asdict(given) | {"img_size": [16, 16]}
    card = StudentCard(
        tvtfast.spaces.register(SPACE).name,
        SPACE.to_dict(arch),
        options,
        IMAGENET_NORMALIZATION,
        ("a", "b", "c"),
        "d",
        1.0,
        {},
    )
    save_student(folder, tvtfast.build(arch, space=SPACE, **options), card)
    path = folder / "student.json"
    unsealed(path, version)
    refused = survey(path, count, lambda path: load_student(path.parent))
    assert refused > (0 if version == 1 else 0.95 * count)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("version", [1, 2])
def test_states_of_trainings(survey, tmp_path, count, version):
    settings = {"lr": 0.1}
    folder = TrainingFolder(tmp_path / "run", "teacher", settings, weights="model.safetensors")
    folder.path.mkdir(exist_ok=True)
    content = {"version": version, "command": "teacher", "settings": settings, "epoch": 1}
    content["objective"] = {"w": torch.zeros(500)}
    (torch.save if version == 1 else save_sealed)(content, folder.path / LAST)
    refused = survey(folder.path / LAST, count, lambda path: folder.load(), OtherRunError)
    assert refused > (0 if version == 1 else 0.95 * count)


def unsealed(path, version):
    """Make a card one of version 1, whose damage no digest reveals."""
    if version == 1:
        card = json.loads(path.read_text())
        for digest in ("weights_sha256", "card_sha256"):
            del card[digest]
        path.write_text(json.dumps(card | {"version": 1}, indent=2))
