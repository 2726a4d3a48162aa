"""Which images a training is chosen by, and that it reads the test images once, at the end."""

from __future__ import annotations

import csv
import json

import pytest
import torch

from tvtfast.data import VisionDataset, hold_out
from tvtfast.distill import Recipe, distill, train_teacher
from tvtfast.models import load_student, load_teacher
from tvtfast.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")


class Watched:
    """Images that note which part of the data they are when one is read."""

    def __init__(self, images, part, reads):
        self.images, self.part, self.reads = images, part, reads

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        self.reads.append(self.part)
        return self.images[index]


def watched(part, split, reads):
    """The same images, read for their fingerprint already."""
    images = Watched(list(part.images), split, reads)
    seen = VisionDataset(
        images, part.labels, part.classes, name=part.name, split=split, img_size=16
    )
    assert seen.fingerprint
    reads.clear()
    return seen


@pytest.fixture
def scripted(monkeypatch):
    """Trainings whose accuracies are given, one per evaluation; what was evaluated is kept."""
    evaluated = []

    def script(*found):
        left = list(found)

        def accuracies(self, model, batches):
            evaluated.append({n: t.clone() for n, t in model.state_dict().items()})
            found = left.pop(0)
            if found is None:
                raise KeyboardInterrupt
            return {"accuracy": found}

        monkeypatch.setattr(Trainer, "_accuracies", accuracies)
        return evaluated

    return script


def test_the_test_is_read_once_and_at_the_end(small, tmp_path):
    reads = []
    test = watched(small.part("test", 30), "test", reads)
    held_out = watched(small.part("train", 40), "held out", reads)
    arguments = {"test": test, "held_out": held_out, "plain": True}
    trained = small.train(tmp_path, **arguments)
    assert reads == ["held out"] * 3 * 40 + ["test"] * 30
    reads.clear()
    again = small.train(tmp_path, **arguments)
    assert not reads and again.history == trained.history
    assert again.accuracy == trained.accuracy


def test_the_best_epoch_of_the_held_out_images_is_kept_and_tested(
    small, tmp_path, scripted, assert_same
):
    evaluated = scripted(50.0, 70.0, 60.0, 42.0)
    trained = small.train(tmp_path, plain=True, ema=0.5)
    card = trained.student.card
    assert (card.recipe["epoch"], card.held_out_accuracy, card.accuracy) == (2, 70.0, 42.0)
    assert (trained.held_out_accuracy, trained.accuracy) == (70.0, 42.0)
    assert [row["accuracy"] for row in trained.history] == [50.0, 70.0, 60.0]
    assert_same(evaluated[3], evaluated[1])
    assert_same(evaluated[3], load_student(tmp_path).module.state_dict())
    assert any((evaluated[3][name] != evaluated[2][name]).any() for name in evaluated[3])


def test_a_training_that_ended_before_its_test_is_tested_alone(small, tmp_path, scripted):
    scripted(50.0, 70.0, 60.0, None)
    with pytest.raises(KeyboardInterrupt):
        small.train(tmp_path, plain=True)
    stopped = load_student(tmp_path).card
    assert (stopped.held_out_accuracy, stopped.accuracy) == (70.0, None)
    evaluated = scripted(42.0)
    evaluated.clear()
    continued = small.train(tmp_path, plain=True)
    assert continued.accuracy == 42.0 and len(evaluated) == 1
    scripted()
    assert small.train(tmp_path, plain=True).accuracy == 42.0


def test_nothing_held_out_keeps_the_last_epoch(small, tmp_path, scripted, assert_same):
    evaluated = scripted(42.0)
    trained = small.train(tmp_path, plain=True, search_split=0)
    card = trained.student.card
    assert card.recipe["images"] == [100, 30] and card.recipe["epoch"] == 3
    assert card.held_out_accuracy is None and card.accuracy == 42.0
    assert_same(evaluated[0], trained.student.module.state_dict())
    with open(tmp_path / "log.csv", newline="") as lines:
        assert "accuracy" not in next(csv.reader(lines))


def test_a_training_holds_out_the_same_images_whatever_its_seed(small, tmp_path):
    part = small.part("train", 100)
    rest, held_out = hold_out(part)
    for seed in (0, 1):
        trained = small.train(tmp_path / str(seed), epochs=1, warmup_epochs=0, seed=seed)
        test = small.part("test", 30)
        expected = [rest.fingerprint, held_out.fingerprint, test.fingerprint]
        assert trained.student.card.recipe["pixels"] == expected
    given = distill(
        small.ARCH,
        rest,
        output_dir=tmp_path / "given",
        held_out=held_out,
        test=small.part("test", 30),
        space=small.SPACE,
        recipe=Recipe(**small.RECIPE | {"epochs": 1, "warmup_epochs": 0}),
        device="cpu",
        patch_size=8,
    )
    assert given.student.card.recipe["pixels"] == expected


def test_what_does_not_go_together(small, tmp_path):
    part, test = small.part("train", 40), small.part("test", 8)
    other = VisionDataset(list(part.images), part.labels, range(11), name="x", split="val")
    arguments = {"space": small.SPACE, "output_dir": tmp_path, "patch_size": 8}
    for data, given, message in (
        (part, {"test": test, "held_out": part, "search_split": 0}, "holds nothing out, and"),
        (part, {"test": test, "held_out": other}, "different numbers of classes"),
        (part, {"held_out": part}, "give the images to test on as test="),
        (part, {"test": test, "search_split": 1.0}, "search_split is 1.0"),
        (part, {"test": test, "search_split": -0.1}, "search_split is -0.1"),
        (small.part("train", 8), {"test": test}, "has too few images of the classes"),
        ("digits", {"held_out": part}, "a name brings its own splits"),
    ):
        with pytest.raises(ValueError, match=message):
            distill(small.ARCH, data, **arguments, **given)


def test_a_teacher_says_both_accuracies(small, tmp_path, scripted):
    scripted(80.0, 75.0, 77.0)
    recipe = Recipe(optimizer="sgd", epochs=2, batch_size=32, augmentation="none")
    data = {"test": small.part("test", 20), "output_dir": tmp_path, "recipe": recipe}
    train_teacher("resnet8", small.part("train", 64), img_size=16, device="cpu", **data)
    card = json.loads((tmp_path / "teacher.json").read_text())
    assert (card["held_out_accuracy"], card["accuracy"]) == (80.0, 77.0)


def test_cards_of_earlier_versions_load(small, tmp_path):
    small.train(tmp_path / "student", epochs=1, warmup_epochs=0)
    small.teacher().save(tmp_path / "teacher", dataset="digits", accuracy=98.0)
    for name in ("student", "teacher"):
        path = tmp_path / name / f"{name}.json"
        card = json.loads(path.read_text())
        for field in ("held_out_accuracy", "weights_sha256", "card_sha256"):
            del card[field]
        path.write_text(json.dumps(card | {"version": 1, "accuracy": 50.0}))
    assert load_student(tmp_path / "student").card.held_out_accuracy is None
    assert load_student(tmp_path / "student").card.accuracy == 50.0
    assert torch.is_tensor(next(load_teacher(tmp_path / "teacher").module.parameters()))
