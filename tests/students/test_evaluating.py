"""How good a student is, against values that are computed by hand."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import tvtfast
from tvtfast.cli import main
from tvtfast.common.normalization import Normalization
from tvtfast.data import VisionDataset, load_splits
from tvtfast.models import Student, StudentCard, save_student
from tvtfast.report.figures.canvas import png
from tvtfast.report.figures.confusion import confusion_figure
from tvtfast.spaces import AutoFormerArch, AutoFormerSpace, ModelOptions
from tvtfast.students import evaluate
from tvtfast.students.evaluating import calibration_error
from tvtfast.students.inputs import input_transform

NAMES = ("ant", "bee", "cat", "dog", "eel", "fox")
PLAIN = Normalization((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


class Recalled(nn.Module):
    """Gives image of grey value i row i of a table, and counts passes while it trains."""

    def __init__(self, logits):
        super().__init__()
        self.register_buffer("logits", torch.as_tensor(logits, dtype=torch.float32))
        self.norm = nn.BatchNorm2d(3)

    def forward(self, images):
        self.norm(images)
        return self.logits[(255 * images[:, 0, 0, 0]).round().long()]


def recalling(logits, classes=NAMES):
    logits = np.asarray(logits, np.float32)
    card = StudentCard(
        space=None,
        arch=None,
        model_options={"num_classes": logits.shape[1], "img_size": (4, 4)},
        normalization=PLAIN,
        classes=classes,
        dataset="animals",
        accuracy=None,
        recipe={},
    )
    return Student(Recalled(logits).eval(), card)


def animals(labels, classes=NAMES):
    """Images of the grey values 0, 1, 2 and so on."""
    images = [Image.new("RGB", (8, 8), (value,) * 3) for value in range(len(labels))]
    return VisionDataset(images, labels, classes, name="animals", split="test", img_size=4)


@pytest.fixture
def known():
    """Sixty images with random logits of six classes, the right one raised for most."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 6, 60)
    logits = rng.normal(size=(60, 6))
    logits[np.arange(60), labels] += rng.integers(0, 3, 60)
    return logits, labels


def slow_calibration_error(logits, labels):
    """Image by image and bin by bin, as it is written in the paper."""
    bins = [[] for _ in range(15)]
    for row, label in zip(logits.astype(np.float32).tolist(), labels.tolist(), strict=True):
        shares = [math.exp(value) for value in row]
        best = max(range(len(row)), key=row.__getitem__)
        confidence = shares[best] / sum(shares)
        (place,) = [b for b in range(15) if b / 15 < confidence <= (b + 1) / 15]
        bins[place].append((confidence, best == label))
    error = 0.0
    for members in filter(None, bins):
        accuracy = sum(right for _, right in members) / len(members)
        confidence = sum(confidence for confidence, _ in members) / len(members)
        error += len(members) / len(labels) * abs(accuracy - confidence)
    return error


def test_every_figure_is_that_of_a_slow_computation(known):
    logits, labels = known
    found = evaluate(recalling(logits), animals(labels), batch_size=7, device="cpu")
    likeliest = [sorted(range(6), key=lambda c: -row[c]) for row in logits]
    confusion = np.zeros((6, 6), int)
    for label, order in zip(labels, likeliest, strict=True):
        confusion[label, order[0]] += 1
    assert (found.confusion == confusion).all() and found.images == 60
    assert found.accuracy == pytest.approx(100 * np.trace(confusion) / 60)
    within = sum(label in order[:5] for label, order in zip(labels, likeliest, strict=True))
    assert found.top5 == pytest.approx(100 * within / 60) and found.accuracy < found.top5 < 100
    assert found.calibration_error == pytest.approx(slow_calibration_error(logits, labels), 1e-6)
    for label, one in enumerate(found.classes):  # all have images
        assert (one.name, one.images) == (NAMES[label], (labels == label).sum())
        assert one.accuracy == 100 * confusion[label, label] / one.images
    assert (found.batch_size, found.device, found.dtype) == (7, "cpu", "float32")
    assert found.images_per_second > 0


def test_edges_of_the_bins_belong_to_the_lower_one():
    """Two images in one bin count together, in two bins apart."""
    probabilities = torch.tensor([[0.6, 0.4], [0.6 - 1e-3, 0.4 + 1e-3]], dtype=torch.float64)
    assert calibration_error(probabilities, torch.tensor([0, 1])) == pytest.approx(0.0995)
    probabilities[1] = torch.tensor([0.6 + 1e-3, 0.4 - 1e-3])
    assert calibration_error(probabilities, torch.tensor([0, 1])) == pytest.approx(0.5005)


def test_no_top_5_of_five_classes(known):
    logits, labels = known
    five = evaluate(recalling(logits[:, :5], NAMES[:5]), animals(labels % 5, NAMES[:5]))
    assert five.top5 is None


def test_permuted_classes_are_matched_by_name(known):
    logits, labels = known
    order = [3, 0, 5, 1, 4, 2]
    shuffled = animals([order.index(label) for label in labels], [NAMES[c] for c in order])
    straight, found = (evaluate(recalling(logits), x) for x in (animals(labels), shuffled))
    assert found.names == NAMES and found.matched_by == "name"
    assert (found.confusion == straight.confusion).all()
    assert found.calibration_error == straight.calibration_error


@pytest.mark.parametrize("numbers", [None, tuple("012345")])
def test_classes_without_names_are_matched_by_count(known, numbers):
    logits, labels = known
    found = evaluate(recalling(logits, numbers), animals(labels))
    assert (found.names, found.matched_by) == (NAMES, "count")
    assert (found.confusion == evaluate(recalling(logits), animals(labels)).confusion).all()


@pytest.mark.parametrize(
    ("known_as", "given", "message"),
    [
        (NAMES, ("ant", "bee", "cow", "dog", "eel", "fox"),
         "not trained on: 'cow'; it knows 'ant', 'bee', 'cat' and 3 more"),
        (None, NAMES[:4], "the model has 6 classes and animals has 4"),
        (tuple("012345"), NAMES[:4], "the model has 6 classes and animals has 4"),
        (("ant", "ant", *NAMES[2:]), ("ant", *NAMES[2:], "ant"), "'ant' stands for several"),
    ],
)  # fmt: skip
def test_classes_that_differ_are_refused_by_name(known_as, given, message):
    student = recalling(np.zeros((4, 6)), known_as)
    with pytest.raises(ValueError) as refused:
        evaluate(student, animals([0, 1, 2, 3], given))
    assert message in str(refused.value)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_logits_without_probabilities_are_refused(known, value):
    logits, labels = known
    logits[10, 2] = value
    with pytest.raises(ValueError, match=r"logits of 1 of 8 images are NaN or infinite.*image 10,"):
        evaluate(recalling(logits), animals(labels), batch_size=8)


def test_logits_of_another_shape_are_refused(known):
    logits, labels = known
    student = recalling(logits)
    options = {"num_classes": 6, "img_size": (4, 4)}
    wrong = Student(Recalled(logits[:, :4]), replace(student.card, model_options=options))
    with pytest.raises(ValueError, match=r"logits of shape \[60, 4\], and has 6 classes"):
        evaluate(wrong, animals(labels))


def test_what_is_the_callers_stays_as_it_was(known):
    logits, labels = known
    student = recalling(logits)
    student.module.train()
    before = {name: value.clone() for name, value in student.module.state_dict().items()}
    state = torch.random.get_rng_state()
    found = evaluate(student, animals(labels))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert student.module.training and student.module.norm.training
    for name, value in student.module.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert (evaluate(recalling(logits), animals(labels)).confusion == found.confusion).all()


def test_a_student_of_no_square_is_refused(known):
    card = recalling(known[0]).card
    options = {"num_classes": 6, "img_size": (4, 6)}
    with pytest.raises(ValueError, match="4 x 6 pixels, and images are resized to a square"):
        input_transform(replace(card, model_options=options))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"workers": -1}, "workers is -1"),
        ({"dtype": "float8"}, "dtype is 'float8'"),
    ],
)
def test_arguments_are_checked_before_anything_is_computed(options, message):
    broken = Student(nn.Identity(), recalling(np.zeros((1, 6))).card)
    with pytest.raises(ValueError, match=message):
        evaluate(broken, animals([0]), **options)


SPACE = AutoFormerSpace("evaluated-small", (16,), (1,), (2.0,), (2,))


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    """A folder of a student of digits that was not trained."""
    if SPACE.name not in tvtfast.spaces.available():
        tvtfast.spaces.register(SPACE)
    options = ModelOptions.of(img_size=8, patch_size=4, num_classes=10)
    arch = AutoFormerArch(16, 1, (2.0,), (2,))
    module = tvtfast.build(arch, space=SPACE, seed=3, img_size=8, patch_size=4, num_classes=10)
    card = StudentCard(
        space=SPACE.name,
        arch=SPACE.to_dict(arch),
        model_options=vars(options),
        normalization=tvtfast.data.IMAGENET_NORMALIZATION,
        classes=tuple("0123456789"),
        dataset="digits",
        accuracy=None,
        recipe={"search_split": 0.1},
    )
    folder = tmp_path_factory.mktemp("evaluated") / "student"
    save_student(folder, module, card)
    return folder


def test_the_split_that_a_student_was_chosen_by(student, capsys):
    held_out = load_splits("digits", search_split=0.1).held_out
    run = ["evaluate", str(student), "--data-set", "digits", "--split", "held-out", "--json"]
    assert main([*run, "--quiet"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["images"] == len(held_out) and found["split"] == held_out.split
    assert found["matched_by"] == "name" and found["dtype"] == "float32"
    folder = student / "evaluation-digits-held-out"
    assert found["output_dir"] == str(folder)
    first, *rows = csv.reader((folder / "confusion.csv").open())
    assert first == ["class", *"0123456789"] and [row[0] for row in rows] == first[1:]
    assert [list(map(int, row[1:])) for row in rows] == found["confusion"]


def test_nothing_held_out_is_no_split(student):
    loaded = tvtfast.models.load_student(student)
    card = replace(loaded.card, recipe={"search_split": 0})
    with pytest.raises(ValueError, match="the student held nothing out"):
        evaluate(Student(loaded.module, card), "digits", split="held-out")


def test_half_precision_is_stated_and_close(student):
    full, half = (evaluate(student, "digits", dtype=dtype) for dtype in ("float32", "bfloat16"))
    assert half.dtype == "bfloat16" and half.calibration_error != full.calibration_error
    assert half.calibration_error == pytest.approx(full.calibration_error, abs=0.02)


def test_nothing_is_written_before_an_error(student, tmp_path, capsys):
    run = ["evaluate", str(student), "--output-dir", str(tmp_path / "out")]
    for arguments, message in (
        (["--data-set", "digit"], "did you mean digits"),
        (["--data-set", "digits", "--split", "val"], "no split 'val'; allowed: train, test"),
    ):
        assert main([*run, *arguments]) == 2
        assert message in capsys.readouterr().err
    assert main(["evaluate", str(tmp_path / "none"), "--data-set", "digits"]) == 2
    assert "none" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_a_trained_student_is_as_good_as_its_card_says(tmp_path):
    pytest.importorskip("sklearn")
    trained = tvtfast.distill.distill(
        AutoFormerArch(16, 1, (2.0,), (2,)),
        "digits",
        space=SPACE,
        recipe=tvtfast.distill.Recipe(
            epochs=1, warmup_epochs=0, batch_size=256, augmentation="none", lr=5e-3
        ),
        img_size=8,
        patch_size=4,
        device="cpu",
        output_dir=tmp_path / "student",
    )
    tvtfast.export(trained.folder, tmp_path / "out")
    found = evaluate(tmp_path / "out", "digits", device="cpu")
    assert found.accuracy == pytest.approx(trained.accuracy) and found.accuracy > 15
    held_out = evaluate(trained.folder, "digits", split="held-out", device="cpu")
    assert held_out.accuracy == pytest.approx(trained.held_out_accuracy)


def test_a_picture_of_odd_names_and_of_classes_without_images():
    """Dollars are no mathematics, and what was not asked is not white, as what was never taken."""
    names = ["$a_{1$", "a name that is longer than the picture", "c"]
    figure = confusion_figure(np.array([[3, 1, 0], [0, 0, 0], [0, 0, 2]]), names)
    png(figure)
    axes = figure.axes[0]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == [
        "$a_{1$", "a name that is lo…", "c"
    ]  # fmt: skip
    (hatched,) = [patch for patch in axes.patches if patch.get_hatch()]
    assert hatched.get_y() == 0.5 and hatched.get_height() == 1
