"""What others get: ONNX, a folder, predictions."""

from __future__ import annotations

import csv
import io
import random
from dataclasses import replace

import pytest
import torch

import tvtfast
from tvtfast.cli import main
from tvtfast.models import Student, load_student
from tvtfast.students.exporting import ExportError, export
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


def test_a_folder_is_handed_over_without_the_state_of_training(student, tmp_path, capsys):
    assert main(["export", "--student", str(student), "--output", str(tmp_path / "out")]) == 0
    assert "timm.create_model('local-dir:" in capsys.readouterr().out
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"model.safetensors", "student.json", "config.json"}
    given, got = load_student(student), load_student(tmp_path / "out")
    assert got.card == given.card
    inputs = torch.randn(2, 3, 16, 16)
    assert torch.equal(got.module(inputs), given.module(inputs))


SLOW = [pytest.param(space, marks=pytest.mark.slow) for space in ("test-relative", "pit", "asvit")]


@pytest.mark.parametrize("space", ("test-small", *SLOW))
def test_onnx_computes_the_same_for_any_batch(space, student, small, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    loaded = load_student(student)
    if space != "test-small":
        known = tvtfast.spaces.get(space)
        arch = known.draw(random.Random(0))
        module = tvtfast.build(
            arch, space=known, num_classes=10, img_size=32, patch_size=8, distilled=True
        )
        options = {**loaded.card.model_options, "img_size": [32, 32]}
        card = replace(loaded.card, space=space, arch=known.to_dict(arch), model_options=options)
        loaded = Student(module, card)
    export(loaded, tmp_path / "model.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    inputs = torch.randn(5, 3, *loaded.card.img_size)
    (logits,) = session.run(None, {"images": inputs.numpy()})
    with torch.no_grad():
        expected = loaded.module(inputs)
    torch.testing.assert_close(torch.from_numpy(logits), expected, rtol=1e-4, atol=1e-4)
    described = session.get_modelmeta().custom_metadata_map["tvtfast.student"]
    assert f'"space": "{space}"' in described


def test_onnx_that_computes_something_else_is_not_written(student, tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from tvtfast.students import exporting

    other = load_student(student)
    content = exporting._onnx(other)
    monkeypatch.setattr(exporting, "_onnx", lambda _: content)
    given = load_student(student)
    with torch.no_grad():
        given.module.head.bias += 1.0
    with pytest.raises(ExportError, match="nothing was written"):
        export(given, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_onnx_of_a_fixed_batch_is_not_written(student, tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")

    class Fixed(torch.nn.Linear):
        def forward(self, images):
            return super().forward(images.reshape(len(images), -1))

    loaded = Student(Fixed(3 * 16 * 16, 10).eval(), load_student(student).card)
    with pytest.raises(ExportError, match="cannot classify 1 images"):
        export(loaded, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_missing_packages_are_named(student, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["export", "--student", str(student), "--output", str(tmp_path / "m.onnx")]) == 2
    assert "pip install 'tvtfast[export]'" in capsys.readouterr().err


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


def test_predict_names_what_it_cannot_read(student, tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        predict(student, tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="holds no image"):
        predict(student, tmp_path)
    (tmp_path / "broken.png").write_bytes(b"PNG")
    with pytest.raises(ValueError, match=r"broken\.png cannot be read as an image"):
        list(predict(student, [tmp_path / "broken.png"]))
