"""``tvtfast run``, as a user types it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tvtfast.cli import main
from tvtfast.cli.run import _student_recipe, parser
from tvtfast.models import load_student
from tvtfast.pipeline import defaults_for
from tvtfast.training.recipes import recipe_of

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_run_prints_its_results_and_is_repeated_from_its_configuration(
    small, archive, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    student = ["--space", small.SPACE.name, "--budget", "0.035", "--trials", "4"]
    images = ["--dataset", str(archive), "--img-size", "16", "--patch-size", "8"]
    teacher = ["--teacher-arch", "resnet8", "--teacher-epochs", "1"]
    training = ["--epochs", "1", "--batch-size", "16", "--augmentation", "light"]
    options = ["--compare", "false", "--logits", "soft", "--device", "cpu"]
    assert main(["run", *images, *student, *teacher, *training, *options]) == 0
    folder = tmp_path / "runs" / "mine-0.035M-seed0"
    out = capsys.readouterr().out
    for words in ("M parameters", "student", "report   runs/mine-0.035M-seed0/report.html"):
        assert words in out
    card = load_student(folder / "export").card
    assert card.recipe["distillation"]["logits"] == "soft" and card.model_options["distilled"]
    assert card.recipe["epochs"] == 1 and card.recipe["lr"] == 5e-4
    config = "runs/mine-0.035M-seed0/config.yaml"
    assert f"tvtfast run --cfg {config}" in (folder / "report.html").read_text()

    before = (folder / "student" / "last.pt").stat().st_mtime_ns
    assert main(["run", "--cfg", config]) == 0
    assert (folder / "student" / "last.pt").stat().st_mtime_ns == before
    kept = (folder / "config.yaml").read_text()
    assert main(["run", "--cfg", config, "--seed", "1", "--output-dir", str(folder)]) == 2
    error = capsys.readouterr().err
    assert "holds another run (seed was 0, now 1)" in error and "Traceback" not in error
    assert (folder / "config.yaml").read_text() == kept
    assert json.loads((folder / "run.json").read_text())["status"] == "finished"


@pytest.mark.parametrize(
    ("system", "flags", "message"),
    (
        ("as-vit", ["--teacher", "resnet56"], "--teacher is given, and --system as-vit has no use"),
        ("as-vit", ["--superformer-epochs", "3"], "--superformer-epochs is given"),
        ("vitas", ["--teacher-epochs", "3"], "--teacher-epochs is given, and --system vitas"),
        ("vitas", ["--logits", "soft"], "--logits is given"),
        ("vitas", ["--guidance", "none", "--search-split", "0"], "compares candidates by held-out"),
        ("tvt", ["--superformer-epochs", "3"], "--superformer-epochs is given, and --system tvt"),
        ("tvt", ["--recipe", "deti"], "did you mean deit"),
        ("as-vi", [], "system is 'as-vi'; allowed: tvt, as-vit, vitas; did you mean as-vit?"),
    ),
)
def test_flags_of_another_system_are_refused(
    archive, tmp_path, monkeypatch, capsys, system, flags, message
):
    monkeypatch.chdir(tmp_path)
    assert main(["run", "--system", system, "--data-set", str(archive), *flags]) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error
    assert not list(tmp_path.iterdir())


def test_a_named_recipe_keeps_the_tokens_of_its_system():
    known = defaults_for("digits", "as-vit").recipe
    flags = ["--system", "as-vit", "--recipe", "deit", "--epochs", "8"]
    found = _student_recipe(parser().parse_args(flags), known)
    assert found == replace(recipe_of("deit"), epochs=8, tokens=known.tokens)
    assert known.tokens is not None
    assert _student_recipe(parser().parse_args([]), known) is None
