"""What others get: ONNX, or a folder."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch

import tvtfast
from tvtfast.cli import main
from tvtfast.models import Student, load_student
from tvtfast.students.exporting import ExportError, export


@pytest.fixture(scope="module")
def student(small, tmp_path_factory):
    return small.train(tmp_path_factory.mktemp("student"), epochs=1).folder


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
