"""Trained students classify images, whatever lies beside them."""

from __future__ import annotations

import csv
import io
import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import tvtfast
from tvtfast.cli import main
from tvtfast.cli.predict import as_cell
from tvtfast.common.foreign import BadFileError
from tvtfast.data import load_dataset
from tvtfast.models import Student, load_student
from tvtfast.students.predicting import predict


@pytest.fixture(scope="module")
def student(small, tmp_path_factory):
    return small.train(tmp_path_factory.mktemp("student"), epochs=1).folder


@pytest.fixture
def images(small, tmp_path):
    """Five digits in two subfolders, and what the student makes of them."""
    test = small.part("test", 5)
    for index, (image, _) in enumerate(test):
        path = tmp_path / "images" / "ab"[index % 2] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
    (tmp_path / "images" / "notes.txt").write_text("no image")
    return tmp_path / "images", test


def test_predict_classifies_every_image_of_a_folder(student, images, tmp_path, capsys):
    folder, test = images
    arguments = ["--student", str(student), "--images", str(folder), "--top", "2"]
    options = ["--batch-size", "2", "--device", "cpu"]
    assert main(["predict", *arguments, *options, "--output", str(tmp_path / "out.csv")]) == 0
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text())))
    assert len(rows) == 10
    module = load_student(student).module
    for row in rows:
        index = int(row["image"].rpartition("/")[2].removesuffix(".png"))
        image, _ = tvtfast.data.TransformedDataset(
            test, tvtfast.data.eval_transform(16, test.normalization)
        )[index]
        with torch.no_grad():
            expected = module(image[None]).softmax(dim=1)[0]
        assert float(row["probability"]) == pytest.approx(
            expected[int(row["class"])].item(), abs=2e-6
        )
        assert (expected > expected[int(row["class"])]).sum() == int(row["rank"]) - 1
    assert main(["predict", *arguments[:-2], *options]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "image,rank,class,probability"


@pytest.fixture
def damaged(images):
    """Five images, of which one cannot be decoded and one is a bomb."""
    folder, _ = images
    path = folder / "a" / "2.png"
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.index(b"IDAT") + 8])
    Image.new("1", (20_000, 10_000)).save(folder / "b" / "1.png")
    return folder


def test_one_bad_image_costs_no_other(student, damaged, tmp_path, capsys):
    arguments = ["predict", "--student", str(student), "--images", str(damaged)]
    for more in ([], ["--batch-size", "1"], ["--output", str(tmp_path / "out.csv")]):
        assert main([*arguments, *more]) == 2
        shown = capsys.readouterr()
        table = (tmp_path / "out.csv").read_text() if "--output" in more else shown.out
        rows = list(csv.DictReader(io.StringIO(table)))
        assert [row["image"].rpartition("/")[2] for row in rows] == ["0.png", "4.png", "3.png"]
        *before, last = shown.err.splitlines()
        assert last == (
            "tvtfast: error: 2 of 5 images cannot be read and have no rows: "
            f"{damaged / 'a' / '2.png'}, {damaged / 'b' / '1.png'}"
        )
        assert (
            sum("WARNING" in line and "cannot be read as an image" in line for line in before) == 2
        )


def test_the_first_bad_image_is_raised_where_nobody_listens(student, damaged):
    found = predict(student, damaged, batch_size=2)
    with pytest.raises(BadFileError, match=r"2\.png cannot be read as an image"):
        list(found)
    heard = []
    found = list(predict(student, damaged, on_unreadable=lambda path, error: heard.append(path)))
    assert (len(found), [path.name for path in heard]) == (3, ["2.png", "1.png"])


def test_nothing_is_printed_or_written_before_an_error(student, damaged, tmp_path, capsys):
    output = ["--output", str(tmp_path / "out.csv")]
    bad = str(damaged / "a" / "2.png")
    for arguments, message in (
        (["--student", "nowhere", "--images", bad], "nowhere"),
        (["--student", str(student), "--images", str(tmp_path / "none")], "does not exist"),
        (["--student", str(student), "--images", bad], "1 of 1 images cannot be read"),
    ):
        for more in ([], output):
            assert main(["predict", *arguments, *more]) == 2
            shown = capsys.readouterr()
            assert shown.out == "" and message in shown.err
            assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("flag", ["--top", "--batch-size"])
def test_numbers_are_checked_before_the_student_is_loaded(tmp_path, flag, capsys):
    Image.new("RGB", (4, 4)).save(tmp_path / "0.png")
    for value in ("0", "-1"):
        arguments = ["--student", str(tmp_path / "none"), "--images", str(tmp_path), flag, value]
        assert main(["predict", *arguments]) == 2
        assert f"{flag} is {value}" in capsys.readouterr().err


def test_what_is_left_out_is_what_training_leaves_out(student, images, caplog):
    folder, _ = images
    (folder / "a" / "._0.png").write_bytes(b"\0\5\26\7 Mac OS X")
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "0.png").write_bytes(b"")
    (folder / "a" / "0.heic").write_bytes(b"")
    with caplog.at_level(logging.INFO, "tvtfast.data"):
        found = list(predict(student, folder))
    assert len(found) == 5
    (line,) = caplog.messages
    said, _, left_out = line.partition("; left out: ")
    assert said == f"{folder}: 5 images"
    kinds = {"1 .heic", "1 .txt", "1 hidden file", "1 hidden folder"}
    assert set(left_out.split(", ")) == kinds
    training = load_dataset(folder).report.left_out
    assert {f"{count} {kind}" for kind, count in training.items()} == kinds


def test_pixels_are_those_of_training(student, tmp_path):
    loaded = load_student(student)
    exif = Image.Exif()
    exif[0x0112] = 6
    deep = np.random.default_rng(0).integers(0, 65536, (12, 20), dtype=np.uint16)
    (tmp_path / "train" / "ant").mkdir(parents=True)
    path = tmp_path / "train" / "ant" / "deep.png"
    Image.fromarray(deep).save(path, exif=exif)
    transform = tvtfast.data.eval_transform(loaded.card.img_size[0], loaded.card.normalization)
    inputs, _ = load_dataset(tmp_path).with_transform(transform)[0]
    with torch.no_grad():
        expected = loaded.module(inputs[None]).softmax(dim=1)[0]
    (found,) = predict(student, path, top=10, device="cpu")
    torch.testing.assert_close(torch.tensor(found.probabilities), expected[list(found.labels)])


def test_a_students_mode_and_device_stay_as_they_were(student, images):
    loaded = load_student(student)
    loaded.module.train()
    first = list(predict(loaded, images[0], device="cpu"))
    assert loaded.module.training
    assert first == list(predict(student, images[0], device="cpu"))


FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"]


@pytest.mark.parametrize("name", FORMULAS)
def test_no_spreadsheet_takes_a_name_for_a_formula(name):
    assert as_cell(name) == f"'{name}"
    assert as_cell(f"a{name}") == f"a{name}"


def test_names_in_the_csv_are_no_formulas(student, images, tmp_path, capsys, monkeypatch):
    loaded = load_student(student)
    classes = ("=cmd|' /C calc'!A0", "ant", *(f"@{index}" for index in range(8)))
    card = replace(loaded.card, classes=classes)
    tvtfast.models.save_student(tmp_path / "named", loaded.module, card)
    monkeypatch.chdir(tmp_path)
    (images[0] / "a" / "0.png").rename(tmp_path / "=1+1.png")
    arguments = ["--student", "named", "--images", "=1+1.png", "--top", "10"]
    assert main(["predict", *arguments, "--output", "out.csv"]) == 0
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text())))
    assert {row["image"] for row in rows} == {"'=1+1.png"}
    assert {row["class"] for row in rows} == {"'=cmd|' /C calc'!A0", "ant"} | {
        f"'@{index}" for index in range(8)
    }


def test_predict_names_what_it_cannot_read(student, tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        predict(student, tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="holds no image"):
        predict(student, tmp_path)
    (tmp_path / "broken.png").write_bytes(b"PNG")
    with pytest.raises(ValueError, match=r"broken\.png cannot be read as an image"):
        list(predict(student, [tmp_path / "broken.png"]))


def test_top_is_at_most_every_class(student, images):
    loaded = load_student(student)
    (found,) = predict(Student(loaded.module, loaded.card), images[0] / "a" / "0.png", top=99)
    assert sorted(found.labels) == list(range(10))
    assert sum(found.probabilities) == pytest.approx(1)


def test_damaged_images_are_all_named_and_cost_no_other(student, images, tmp_path, fuzzing):
    """The loaders themselves are fuzzed in ``tests/data/test_fuzz.py``."""
    whole = (images[0] / "a" / "0.png").read_bytes()
    folder = tmp_path / "damaged"
    folder.mkdir()
    for index, content in enumerate(fuzzing.mutations(whole, 60)):
        (folder / f"{index:02d}.png").write_bytes(content)
    (folder / "whole.png").write_bytes(whole)
    heard = {}
    found = list(predict(student, folder, on_unreadable=heard.__setitem__))
    assert found[-1].path == folder / "whole.png"
    assert len(found) + len(heard) == 61 and len(heard) > 20
    for path, error in heard.items():
        assert isinstance(error, BadFileError) and str(path) in str(error)
