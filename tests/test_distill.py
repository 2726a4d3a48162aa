"""Teacher training on the embedded digits."""

from __future__ import annotations

import pytest
import torch

import tvtfast
from tvtfast.data import load_dataset
from tvtfast.distill import train_cifar_resnet


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TVTFAST_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.slow
def test_the_digits_teacher_learns_and_is_cached(cache):
    first = tvtfast.distill.digits_teacher()
    (folder,) = (cache / "teachers").iterdir()
    import json

    assert json.loads((folder / "teacher.json").read_text())["accuracy"] > 90
    again = tvtfast.distill.digits_teacher()
    assert again.fingerprint == first.fingerprint


def test_a_damaged_cache_is_replaced(cache, monkeypatch):
    trained = []

    def train(train_set, test_set, **options):
        trained.append(options.get("seed", 0))
        return tvtfast.initialize_(tvtfast.models.CifarResNet(8, 10)), 10.0

    monkeypatch.setattr("tvtfast.distill.default_teacher.train_cifar_resnet", train)
    tvtfast.distill.digits_teacher()
    (folder,) = (cache / "teachers").iterdir()
    (folder / "model.safetensors").write_bytes(b"half a file")
    tvtfast.distill.digits_teacher()
    tvtfast.distill.digits_teacher()
    assert len(trained) == 2
    assert sorted(p.name for p in (cache / "teachers").iterdir()) == [
        folder.name,
        f"{folder.name}.damaged",
    ]


def test_training_repeats_bit_for_bit():
    train, test = load_dataset("digits", split="train"), load_dataset("digits", split="test")
    runs = [
        train_cifar_resnet(train, test, depth=8, epochs=1, img_size=8, seed=3) for _ in range(2)
    ]
    (first, accuracy), (again, same) = runs
    assert accuracy == same
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    assert not first.training


def test_a_loss_that_is_not_finite_stops(monkeypatch):
    train, test = load_dataset("digits", split="train"), load_dataset("digits", split="test")
    monkeypatch.setattr("tvtfast.distill.training._LEARNING_RATE", 1e30)
    with pytest.raises(FloatingPointError, match="loss of the teacher became"):
        train_cifar_resnet(train, test, depth=8, epochs=2, img_size=8)
