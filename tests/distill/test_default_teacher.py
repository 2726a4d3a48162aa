"""The teacher of the embedded example."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import tvtfast
from tvtfast.common.worker import this_process
from tvtfast.distill import default_teacher


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TVTFAST_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.slow
def test_it_learns_and_is_cached(cache: Path) -> None:
    first = tvtfast.distill.digits_teacher()
    (folder,) = (cache / "teachers").iterdir()
    assert json.loads((folder / "teacher.json").read_text())["accuracy"] > 97
    assert tvtfast.distill.digits_teacher().fingerprint == first.fingerprint


def test_a_damaged_cache_is_replaced(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = replace(default_teacher.DIGITS_TEACHER_RECIPE, epochs=1, warmup_epochs=0)
    monkeypatch.setattr(default_teacher, "DIGITS_TEACHER_RECIPE", quick)
    monkeypatch.setattr(default_teacher, "DIGITS_TEACHER", "resnet8")
    trained = []
    original = default_teacher.train_teacher

    def train(*arguments, **options):
        trained.append(arguments)
        return original(*arguments, **options)

    monkeypatch.setattr(default_teacher, "train_teacher", train)
    first = tvtfast.distill.digits_teacher()
    (folder,) = (cache / "teachers").iterdir()
    (folder / "model.safetensors").write_bytes(b"half a file")
    second = tvtfast.distill.digits_teacher()
    assert tvtfast.distill.digits_teacher().fingerprint == second.fingerprint == first.fingerprint
    assert len(trained) == 2
    assert sorted(path.name for path in (cache / "teachers").iterdir()) == [
        folder.name,
        f"{folder.name}.damaged",
    ]


def test_trainings_of_dead_processes_are_swept(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, process in (("training-live", this_process()), ("training-dead", {})):
        (cache / "teachers" / name).mkdir(parents=True)
        record = {"settings": {}, "status": "running", "process": process}
        (cache / "teachers" / name / "run.json").write_text(json.dumps(record))

    def nothing(*arguments, output_dir, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(default_teacher, "train_teacher", nothing)
    with pytest.raises(KeyboardInterrupt):
        tvtfast.distill.digits_teacher()
    assert [path.name for path in (cache / "teachers").iterdir()] == ["training-live"]


def test_another_process_may_be_faster(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its teacher is taken, and what was trained here leaves nothing behind."""
    quick = replace(default_teacher.DIGITS_TEACHER_RECIPE, epochs=1, warmup_epochs=0)
    monkeypatch.setattr(default_teacher, "DIGITS_TEACHER_RECIPE", quick)
    monkeypatch.setattr(default_teacher, "DIGITS_TEACHER", "resnet8")
    faster = tvtfast.distill.digits_teacher()
    (folder,) = (cache / "teachers").iterdir()
    held = folder.with_name("held")
    folder.rename(held)
    original = default_teacher.train_teacher

    def train(*arguments, **options):
        trained = original(*arguments, **options)
        held.rename(folder)
        return trained

    monkeypatch.setattr(default_teacher, "train_teacher", train)
    assert tvtfast.distill.digits_teacher().fingerprint == faster.fingerprint
    assert [path.name for path in (cache / "teachers").iterdir()] == [folder.name]
