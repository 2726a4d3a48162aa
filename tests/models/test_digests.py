"""One bit that flips is found, wherever it is; folders of earlier versions are still read."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch

import tvtfast
from tvtfast.common.normalization import IMAGENET_NORMALIZATION
from tvtfast.models import CheckpointError, CifarResNet, StudentCard, load_student, save_student
from tvtfast.models.model_folder import read_card
from tvtfast.models.teacher_folder import TeacherCard

FLIPS = 200
ARCH = {"hidden_dim": 192, "depth": 12, "num_heads": [3] * 12, "mlp_ratio": [3.5] * 12}


@pytest.fixture(scope="module")
def teacher_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digests") / "teacher"
    module = tvtfast.initialize_(CifarResNet(8, 10), seed=1)
    tvtfast.load_teacher(module, input_size=32, normalization=IMAGENET_NORMALIZATION).save(
        folder, dataset="digits", accuracy=98.5
    )
    return folder


@pytest.fixture(scope="module")
def student_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digests") / "student"
    module = torch.nn.Linear(4, 2)
    options = {"num_classes": 2, "img_size": [32, 32]}
    card = StudentCard(
        None, None, options, IMAGENET_NORMALIZATION, ("ant", "bee"), "mine", 50.0, {"lr": 1e-5}
    )
    save_student(folder, module, card)
    return folder


def flips(path, count):
    """The file with one bit changed, at ``count`` places."""
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for bit in rng.integers(8 * len(whole), size=count):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << int(bit % 8)
        path.write_bytes(damaged)
        yield
    path.write_bytes(whole)


@pytest.mark.parametrize("name", ["teacher.json", "model.safetensors"])
def test_no_flipped_bit_of_a_teacher_is_loaded(teacher_folder, tmp_path, name):
    folder = shutil.copytree(teacher_folder, tmp_path / "teacher")
    whole = tvtfast.load_teacher(folder).fingerprint
    for _ in flips(folder / name, FLIPS):
        with pytest.raises(CheckpointError, match=name):
            tvtfast.load_teacher(folder)
    assert tvtfast.load_teacher(folder).fingerprint == whole


@pytest.mark.parametrize("name", ["student.json", "model.safetensors"])
def test_no_flipped_bit_of_a_student_is_loaded(student_folder, tmp_path, name):
    folder = shutil.copytree(student_folder, tmp_path / "student")
    for _ in flips(folder / name, FLIPS):
        with pytest.raises(CheckpointError, match=name):
            load_student(folder, module=torch.nn.Linear(4, 2))
    assert load_student(folder, module=torch.nn.Linear(4, 2)).card.accuracy == 50.0


def test_weights_of_another_training_do_not_pass(teacher_folder, tmp_path):
    folder = shutil.copytree(teacher_folder, tmp_path / "teacher")
    other = tvtfast.load_teacher(tvtfast.initialize_(CifarResNet(8, 10), seed=2))
    other.save(tmp_path / "other", dataset="digits", accuracy=1.0)
    shutil.copy(tmp_path / "other" / "model.safetensors", folder)
    with pytest.raises(CheckpointError, match=r"model.safetensors is not the file .* Run the comm"):
        tvtfast.load_teacher(folder)


def test_cards_of_version_1_are_read(teacher_folder, student_folder, tmp_path):
    for source, name, spelled in (
        (teacher_folder, "teacher.json", "tvtfast-teacher"),
        (student_folder, "student.json", "tvtfast student"),
    ):
        folder = shutil.copytree(source, tmp_path / name)
        card = json.loads((folder / name).read_text())
        for digest in ("weights_sha256", "card_sha256"):
            assert len(card.pop(digest)) == 64
        (folder / name).write_text(json.dumps(card | {"version": 1, "format": spelled}))
    assert tvtfast.load_teacher(tmp_path / "teacher.json")(torch.zeros(1, 3, 32, 32)).shape == (
        1,
        10,
    )
    assert load_student(tmp_path / "student.json", module=torch.nn.Linear(4, 2)).card.classes == (
        "ant",
        "bee",
    )


def test_a_card_of_version_2_needs_its_digests(teacher_folder, tmp_path):
    card = json.loads((teacher_folder / "teacher.json").read_text())
    for digest in ("weights_sha256", "card_sha256"):
        path = tmp_path / "teacher.json"
        path.write_text(json.dumps({k: v for k, v in card.items() if k != digest}))
        with pytest.raises(CheckpointError, match="SHA-256"):
            read_card(path, TeacherCard, "teacher", "train one")
