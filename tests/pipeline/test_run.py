"""From images to a report: what a run leaves, that it goes on, and what it refuses."""

from __future__ import annotations

import html
import json
import re
import shutil

import pytest
import torch

import tvtfast
from tvtfast.distill import Distillation
from tvtfast.models import CifarResNet, load_student
from tvtfast.pipeline import RunError, deit_like

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def finished(small, tmp_path_factory):
    return small.run(tmp_path_factory.mktemp("finished") / "run")


@pytest.fixture
def copied(finished, tmp_path):
    return shutil.copytree(finished.folder, tmp_path / "run")


def test_every_stage_leaves_a_folder_that_is_used_alone(finished, small):
    folder, best = finished.folder, finished.best
    assert 0.75 * small.BUDGET <= best["params"] <= small.BUDGET
    teacher = tvtfast.load_teacher(folder / "teacher")
    assert teacher.fingerprint == finished.teacher.fingerprint
    handed_over = load_student(folder / "export")
    images = torch.randn(2, 3, 16, 16)
    assert torch.equal(handed_over.module(images), load_student(folder / "student").module(images))
    assert sum(p.numel() for p in handed_over.module.parameters()) == best["params"]
    assert handed_over.card.arch == best["arch"]
    recipes = {name: found.student.card.recipe for name, found in trained(finished).items()}
    assert recipes["plain"]["teacher"] is None
    assert recipes["student"]["teacher"] == recipes["deit"]["teacher"] == "resnet8"
    for name in ("epochs", "lr", "batch_size", "augmentation", "seed"):
        assert len({recipe[name] for recipe in recipes.values()}) == 1, name


def trained(result):
    return {"student": result.student, "plain": result.plain, "deit": result.baseline}


def test_the_baseline_is_of_equal_size(finished):
    space, arch = deit_like(finished.best["params"], **finished.best["model_options"])
    found = sum(p.numel() for p in finished.baseline.student.module.parameters())
    assert found == space.params(arch, **finished.best["model_options"])


def test_the_report_says_what_it_promises(finished):
    page = finished.report.read_text(encoding="utf-8")
    text = " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).replace("\u00a0", " ").split())
    for name, found in trained(finished).items():
        assert f"{found.accuracy:.1f} %" in text, name
    for words in (
        "teacher resnet8",
        "the same student, plainly",
        "DeiT-like ViT of width",
        "linear guidance by resnet8",
        "student before training",
        "student after training",
        "points against the same student, plainly",
        f"tvtfast predict --student {finished.folder}/export",
    ):
        assert words in text, words
    assert 'href="search/report.html"' in page and (finished.folder / "search/report.html").exists()
    assert page.count("data:image/png;base64,") == 3  # search, accuracy, attention
    for stage in ("teacher", "search", "student", "plain", "deit"):
        assert finished.seconds[stage] > 0
        assert f"<td>{stage}</td>" in page
    record = json.loads((finished.folder / "run.json").read_text())
    assert record["status"] == "finished" and record["seconds"] == finished.seconds


def test_a_finished_stage_is_not_done_again(copied, finished, small):
    stages = ("teacher", "search", "student", "plain", "deit")
    files = [path for stage in stages for path in (copied / stage).iterdir()]
    before = {path: path.stat().st_mtime_ns for path in files}
    again = small.run(copied)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert again.seconds == finished.seconds


@pytest.mark.slow
def test_killed_twice_and_continued_is_the_same_to_the_bit(
    small, tmp_path, finished, start_program, kill_once, assert_same, last_weights
):
    for written in ("teacher/last.pt", "student/last.pt"):
        process = start_program(small, tmp_path / "run")
        kill_once(process, (tmp_path / "run" / written).exists)
        assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "running"
    continued = small.run(tmp_path / "run")
    assert continued.best == finished.best
    for stage in ("teacher", "student", "plain", "deit"):
        assert_same(last_weights(continued.folder / stage), last_weights(finished.folder / stage))


@pytest.mark.parametrize(
    ("damaged", "message"),
    (
        ("teacher/last.pt", r"stage 'teacher' cannot go on: .*last\.pt cannot be read"),
        ("search/best.json", r"stage 'search' cannot go on: .*best\.json is damaged"),
        ("search/run.json", r"stage 'search' cannot go on: .*run\.json is damaged"),
        ("student/model.safetensors", r"stage 'student' cannot go on: .*model\.safetensors"),
        ("student/student.json", r"stage 'student' cannot go on: .*as the card of a student"),
        ("deit/last.pt", r"stage 'deit' cannot go on: .*last\.pt cannot be read"),
    ),
)
def test_a_damaged_stage_says_how_it_is_done_again(copied, small, damaged, message):
    whole = (copied / damaged).read_bytes()
    (copied / damaged).write_bytes(whole[: len(whole) // 2])
    folder = copied / damaged.partition("/")[0]
    with pytest.raises(RunError, match=f"{message}.*remove its folder: rm -r {folder}$"):
        small.run(copied)
    assert json.loads((copied / "run.json").read_text())["status"] == "failed"


def test_a_stage_whose_folder_is_removed_is_done_again(
    copied, small, finished, assert_same, last_weights
):
    shutil.rmtree(copied / "search")
    shutil.rmtree(copied / "plain")
    again = small.run(copied)
    assert again.best == finished.best
    assert_same(last_weights(copied / "plain"), last_weights(finished.folder / "plain"))


def test_a_damaged_record_is_named(copied, small):
    (copied / "run.json").write_text("{")
    with pytest.raises(
        ValueError,
        match=r"run\.json cannot be read as the record of a run .* it is damaged, remove it",
    ):
        small.run(copied)


def test_another_run_is_refused(copied, small):
    with pytest.raises(RunError, match="another run .budget was 35000.0, now 36000.0"):
        small.run(copied, budget=3.6e4)
    reversed_images = small.part("test", 20)
    reversed_images.images = reversed_images.images[::-1]
    with pytest.raises(RunError, match="another run .pixels was"):
        small.run(copied, test=reversed_images)
    with pytest.raises(RunError, match="search holds another run .command was 'search', now 'run'"):
        small.run(copied / "search")


def test_a_given_teacher_is_not_trained_and_comparisons_are_left_out(small, tmp_path, finished):
    taught = shutil.copytree(finished.folder / "teacher", tmp_path / "teacher")
    result = small.run(tmp_path / "run", teacher=taught, compare=False, how=Distillation())
    assert result.plain is None and result.baseline is None
    assert result.teacher.fingerprint == finished.teacher.fingerprint
    assert set(result.seconds) == {"search", "student"}
    other = tvtfast.initialize_(CifarResNet(8, 10), seed=3)
    tvtfast.load_teacher(other, input_size=16).update(taught, dataset="digits", accuracy=1.0)
    with pytest.raises(RunError, match="another run .teacher fingerprint was"):
        small.run(tmp_path / "run", teacher=taught, compare=False, how=Distillation())
    names = {path.name for path in result.folder.iterdir() if path.is_dir()}
    assert names == {"search", "student", "export"}
    card = json.loads((finished.folder / "teacher" / "teacher.json").read_text())
    assert f"{card['accuracy']:.1f}\u00a0%" in result.report.read_text(encoding="utf-8")


def test_a_run_without_guidance_needs_no_second_plain_student(
    small, tmp_path, finished, assert_same, last_weights
):
    result = small.run(tmp_path / "run", teacher=finished.teacher, how=Distillation(guidance=None))
    assert result.plain is None and result.baseline is not None
    assert_same(last_weights(result.folder / "student"), last_weights(finished.folder / "plain"))


def test_what_cannot_run(small, tmp_path, monkeypatch, finished):
    with pytest.raises(tvtfast.InfeasibleError, match="budget is 0.001 million"):
        small.run(tmp_path / "small", budget=1000, teacher=finished.teacher)
    assert not list(tmp_path.iterdir()), "nothing was trained for it"
    with pytest.raises(TypeError, match="unknown model option 'patch'"):
        small.run(tmp_path / "option", patch=8)
    with pytest.raises(ValueError, match="give one side"):
        small.run(tmp_path / "option", img_size=(16, 32))
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RunError, match="torchrun started several"):
        small.run(tmp_path / "several")
    assert not (tmp_path / "several").exists() and not (tmp_path / "option").exists()
