"""A trained student is measured on a labelled data set."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image

import tvtfast
from tvtfast.cli import main
from tvtfast.data import VisionDataset
from tvtfast.models import load_student
from tvtfast.students.evaluating import calibration_error

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def student(small, tmp_path_factory):
    return small.train(tmp_path_factory.mktemp("student"), epochs=2, plain=True)


def reordered(images, order, classes=None):
    """The images with their classes in another order."""
    place = {old: new for new, old in enumerate(order)}
    names = classes or [images.classes[old] for old in order]
    labels = [place[int(label)] for label in images.labels]
    return VisionDataset(list(images.images), labels, names, name="again", split="test")


def test_it_measures_what_the_training_measured(small, student):
    test = small.part("test", 30)
    before = torch.get_rng_state()
    found = tvtfast.evaluate(student.folder, test, batch_size=7, device="cpu")
    assert torch.equal(torch.get_rng_state(), before)
    assert found.accuracy == pytest.approx(student.accuracy) and found.images == 30
    assert found.confusion.sum() == 30
    assert found.confusion.trace() == round(0.3 * found.accuracy)
    assert found.accuracy <= found.top5 <= 100
    assert sum(one.images * one.accuracy for one in found.classes) / 30 == pytest.approx(
        found.accuracy
    )
    assert (found.batch_size, found.device) == (7, "cpu") and found.images_per_second > 0
    again = tvtfast.evaluate(load_student(student.folder), test, batch_size=30, device="cpu")
    assert (again.confusion == found.confusion).all()


def test_classes_are_matched_by_name(small, student):
    test = small.part("test", 30)
    plain = tvtfast.evaluate(student.folder, test, device="cpu")
    turned = reordered(test, list(reversed(range(10))))
    found = tvtfast.evaluate(student.folder, turned, device="cpu")
    assert (found.confusion == plain.confusion).all() and found.names == plain.names
    foreign = reordered(test, range(10), ["cat", *map(str, range(1, 10))])
    with pytest.raises(ValueError, match="classes that the model was not trained on: 'cat'; it"):
        tvtfast.evaluate(student.folder, foreign, device="cpu")


def test_a_teacher_is_measured_and_classes_without_names_are_counted(small):
    test = small.part("test", 30)
    assert tvtfast.evaluate(small.teacher(), test, device="cpu").images == 30
    with pytest.raises(ValueError, match="the model has 7 classes and digits-part has 10"):
        tvtfast.evaluate(small.teacher(7), test, device="cpu")


def test_calibration_error_by_hand():
    """Two images of confidence 0.9, one right; two of 0.6, both right."""
    probabilities = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.6, 0.4]])
    found = calibration_error(probabilities, torch.tensor([0, 1, 1, 0]))
    assert found == pytest.approx(0.5 * 0.4 + 0.5 * 0.4)
    sure = torch.eye(3)
    assert calibration_error(sure, torch.tensor([0, 1, 2])) == 0
    assert calibration_error(sure, torch.tensor([1, 2, 0])) == 1


def test_the_command_writes_numbers_and_a_picture(small, student, tmp_path, capsys):
    test = small.part("test", 20)
    for index, (image, label) in enumerate(test):
        path = tmp_path / "photos" / "test" / str(label) / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
        (tmp_path / "photos" / "train" / str(label)).mkdir(parents=True, exist_ok=True)
        image.save(tmp_path / "photos" / "train" / str(label) / f"{index}.png")
    out = tmp_path / "out"
    arguments = ["evaluate", str(student.folder), "--data-set", str(tmp_path / "photos")]
    assert main([*arguments, "--device", "cpu", "--output-dir", str(out)]) == 0
    shown = capsys.readouterr().out
    found = json.loads((out / "evaluation.json").read_text())
    assert f"top-1 {found['accuracy']:.2f} %" in shown and "batches of 64, cpu" in shown
    rows = list(csv.DictReader((out / "classes.csv").open()))
    assert sum(int(row["images"]) for row in rows) == 20
    assert np.array(found["confusion"]).sum() == 20
    assert Image.open(out / "confusion.png").size[0] > 500
    assert main(["evaluate", str(student.folder)]) == 2
    assert "name both" in capsys.readouterr().err
