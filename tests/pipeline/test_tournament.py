"""The course of a tournament, with a trainer that only keeps books, and with the real one."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tvtfast
from tvtfast.cli import main
from tvtfast.cli.run import _data, _summary
from tvtfast.distill import Distillation, ProgressiveTokens, TrainedStudent
from tvtfast.models import Student, StudentCard, build, load_student, save_student
from tvtfast.pipeline import RunError
from tvtfast.pipeline.finalists import running, training
from tvtfast.spaces import AutoFormerSpace
from tvtfast.training.training_folder import DivergedError, TrainingError

pytestmark = pytest.mark.usefixtures("one_thread")


class Books:
    """Stands in for `distill`: accuracies by formula, and who was trained from where to where.

    It refuses what the real one refuses: fewer epochs than a folder has, and a state that is gone.
    Accuracies of test images are the reverse of the held-out ones, so whoever chose by them would
    choose the worst.
    """

    def __init__(self, held_out, *, seconds=2.0):
        self.held_out, self.seconds = held_out, seconds
        self.trained = defaultdict(list)
        self.calls, self.stop_at = 0, None
        self.tested = []
        self.diverging = set()
        self.builds = False

    def __call__(self, student, train, teacher, *, output_dir, recipe, read_test, **arguments):
        assert arguments["keep_state"] and arguments["held_out"] is not None
        folder = Path(output_dir)
        before = self._before(folder)
        assert recipe.epochs >= before, "a folder of more epochs is another training"
        if recipe.epochs > before:
            self.calls += 1
            if self.calls == self.stop_at:
                raise KeyboardInterrupt
            if folder.name in self.diverging:
                raise DivergedError("the loss is no longer finite at step 1 of epoch 1")
            self.trained[folder.name].append((before, recipe.epochs))
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "epochs").write_text(str(recipe.epochs))
        if read_test:
            self.tested.append(folder.name)
        accuracy = self.held_out(student, recipe.epochs)
        history = tuple(
            {"epoch": epoch + 1, "accuracy": accuracy, "seconds": self.seconds}
            for epoch in range(recipe.epochs)
        )
        card = StudentCard(
            space=student["space"],
            arch=student["arch"],
            model_options={**student["model_options"], "img_size": [16, 16]},
            normalization=train.normalization,
            classes=train.classes,
            dataset=train.name,
            accuracy=100 - accuracy if read_test else None,
            recipe={"distillation": None},
            held_out_accuracy=accuracy,
        )
        module = None
        if read_test and self.builds:
            module = build(student["arch"], space=student["space"], **student["model_options"])
            save_student(folder, module, card)
        return TrainedStudent(Student(module, card), history, folder)

    @staticmethod
    def _before(folder):
        path = folder / "epochs"
        return int(path.read_text()) if path.exists() else 0


def by_depth(student, epochs):
    """Deeper is better, and so is longer; width decides among equals."""
    arch = student["arch"]
    if arch["depth"] == 12:  # the default
        return 41.0 + epochs / 10
    return 30 + 4 * arch["depth"] + arch["hidden_dim"] / 100 + np.mean(arch["mlp_ratio"]) + epochs


@pytest.fixture
def printed(monkeypatch):
    """Books, and the report of what is in them."""
    found = Books(by_depth)
    monkeypatch.setattr(training, "distill", found)
    return found


@pytest.fixture
def books(printed, monkeypatch):
    """Books without a report, which takes longer than all else."""
    monkeypatch.setattr(running, "report_tournament", lambda *arguments: None)
    return printed


def test_the_worse_half_goes_by_held_out_accuracy(contest, books, tmp_path):
    found = contest.play(tmp_path / "t")
    assert found.rungs.epochs == (1, 2, 4, 8) and found.rungs.sizes == (6, 3, 2, 1)
    alive = list(found.finalists)
    assert len(alive) == 9 and [one.roles for one in alive[6:]] == [("proposed",)] * 3
    for rung, kept in enumerate((3, 2, 1)):
        epochs = found.rungs.epochs[rung]
        ordered = sorted(alive, key=lambda one: -by_depth(one.described, epochs))
        gone = {one.name for one in ordered[kept:]}
        assert {one.name for one in alive if found.played[one.name] == rung + 1} == gone
        alive = ordered[:kept]
    assert found.winner.name == alive[0].name and found.played[found.winner.name] == 4
    compared = {one.name for one in found.finalists if one.compared}
    assert set(books.tested) == compared | {found.winner.name}
    assert books.tested[0] == found.winner.name
    for name, course in found.courses.items():
        described = found.finalist(name).described
        expected = [by_depth(described, end) for end in found.rungs.epochs]
        assert list(course.accuracies) == expected[: len(course.accuracies)]
        assert len(course.accuracies) == (4 if name in books.tested else found.played[name])


def test_every_training_is_used_again(contest, books, tmp_path):
    """One folder is trained from its beginning to its end, and no epoch twice."""
    found = contest.play(tmp_path / "t")
    for name, parts in books.trained.items():
        assert parts[0][0] == 0
        assert all(one[1] == two[0] for one, two in zip(parts, parts[1:], strict=False))
        assert parts[-1][1] == found.rungs.epochs[len(found.courses[name].accuracies) - 1]
    calls = books.calls
    again = contest.play(tmp_path / "t")
    assert books.calls == calls
    assert again.winner == found.winner and again.courses == found.courses
    assert again.calibration.posterior.mean.tolist() == found.calibration.posterior.mean.tolist()


def test_stopped_at_every_training_it_ends_as_if_it_never_was(contest, books, tmp_path):
    whole = contest.play(tmp_path / "whole")
    calls, stops = books.calls, 0
    books.calls = 0
    while True:
        books.stop_at = books.calls + 2
        try:
            stopped = contest.play(tmp_path / "t")
            break
        except KeyboardInterrupt:
            stops += 1
            record = json.loads((tmp_path / "t" / "run.json").read_text())
            assert record["status"] == "interrupted" and record["command"] == "tournament"
    assert stops == calls - 1 and books.calls == calls + stops
    assert stopped.winner == whole.winner and stopped.courses == whole.courses
    assert stopped.finalists == whole.finalists and stopped.notes == whole.notes
    kept = [(tmp_path / name / "tournament.json").read_bytes() for name in ("t", "whole")]
    assert kept[0] == kept[1]


def test_by_several_workers_it_is_the_same(contest, books, simulated, tmp_path):
    """In whatever order they end; a worker that ends is replaced, and none counts twice."""
    whole = contest.play(tmp_path / "whole")
    calls = books.calls
    for seed in range(3):
        executor = simulated(3, seed, deaths={1})
        shared = contest.play(tmp_path / f"{seed}", executor=executor)
        assert executor.most > 1 and shared.winner == whole.winner
        kept = [(tmp_path / one / "tournament.json").read_bytes() for one in (str(seed), "whole")]
        assert kept[0] == kept[1]
    assert books.calls == 4 * calls


def test_a_training_that_ends_two_workers_goes_out(contest, books, simulated, tmp_path, caplog):
    found = contest.play(tmp_path / "t", executor=simulated(1, deaths={0, 1}))
    failed = [course.failed for course in found.courses.values() if course.failed]
    assert failed == ["its training ended two workers: it was told to"]
    assert found.winner is not None and "goes out of the tournament" in caplog.text


def test_what_the_first_rung_told_proposes_candidates(contest, books, tmp_path):
    """The best of the table is deep, and no score says so."""
    found = contest.play(tmp_path / "t", finalists=8)
    table = contest.table()
    first = {
        one.row: found.courses[one.name].accuracies[0]
        for one in found.finalists[:8]
        if one.row is not None
    }
    expected = tvtfast.calibrate(table, first)
    budget = {"params": (None, float(table["params"].max()))}
    fresh = [one.row for one in found.finalists[8:]]
    assert fresh == expected.next_to_train(table, 4, budget)
    depths = table.features["depth"]
    assert depths[fresh].mean() > depths.mean() and found.winner.described["arch"]["depth"] == 5
    saved = tvtfast.Calibration.load(found.folder / "calibration")
    assert len(saved.trained) == 8 - 1 + 4
    assert saved.predict(table).tolist() == found.calibration.predict(table).tolist()
    proxy = f"calibrated:{found.folder / 'calibration'}"
    again = tvtfast.score(
        table.candidates[:3], space=contest.SPACE, proxies=(proxy,), **contest.OPTIONS
    )
    assert np.allclose(again[next(iter(again.scored))], saved.predict(table)[:3])


def test_equal_accuracies_propose_nothing_and_that_is_said(contest, books, tmp_path, caplog):
    books.held_out = lambda student, epochs: 20.0
    found = contest.play(tmp_path / "t")
    assert len(found.finalists) == 6 and found.calibration is None
    assert "cannot be calibrated, so nothing is proposed: all 5 accuracies are 20" in caplog.text
    assert any("nothing is proposed" in note for note in found.notes)
    least = min(one.params for one in found.finalists)
    assert found.winner.params == least, "of equals that of the fewest parameters"


def test_a_training_that_diverges_goes_out(contest, printed, tmp_path, caplog):
    books = printed
    books.diverging = {"finalist-01", "finalist-04"}
    found = contest.play(tmp_path / "t")
    assert found.winner.name not in books.diverging
    assert "no longer finite" in found.courses["finalist-04"].failed
    assert "finalist-04 goes out of the tournament: the loss is no longer finite" in caplog.text
    assert found.default is None, "it has no accuracy, rather than a number"
    assert "failed: the loss is no longer finite" in found.report.read_text()
    calls = books.calls
    contest.play(tmp_path / "t")
    assert books.calls == calls, "it is not tried again"


def test_without_anyone_left_it_ends_with_an_error(contest, books, tmp_path):
    books.diverging = {f"finalist-{number:02d}" for number in range(1, 20)}
    with pytest.raises(TrainingError, match="no finalist ended rung 1: every training diverged"):
        contest.play(tmp_path / "t")


def test_hours_decide_the_epochs_once(contest, books, tmp_path):
    """An epoch takes two seconds by the books; 0.02 hours are 36 of them."""
    recipe = replace(contest.RECIPE, epochs=300)
    found = contest.play(tmp_path / "t", train_hours=0.05, recipe=recipe, compare=False)
    total = 0.05 * 3600 / 2
    assert found.rungs.total(0) <= total
    longer = type(found.rungs).of(6, found.rungs.epochs[-1] + 1)
    assert longer.total(0) > total
    spent = sum(parts[-1][1] for name, parts in books.trained.items() if name != "probe")
    assert spent == found.rungs.total(0)
    assert books.trained["probe"] == [(0, 1)] and not (tmp_path / "t" / "probe").exists()
    books.seconds = 50.0
    again = contest.play(tmp_path / "t", train_hours=0.05, recipe=recipe, compare=False)
    assert again.rungs == found.rungs, "what was decided stays"
    assert not found.compared and list(found.comparison["finalist"]) == [found.winner.name]


def test_too_few_hours_are_refused(contest, books, tmp_path):
    with pytest.raises(ValueError, match="train_hours is 0.001, and an epoch takes 2 s"):
        contest.play(tmp_path / "t", train_hours=0.001)


def test_the_comparison_is_with_the_picks(contest, printed, tmp_path):
    found = contest.play(tmp_path / "t")
    frame = found.comparison
    assert frame["finalist"][0] == found.winner.name and frame["difference"][0] == 0
    roles = set(", ".join(frame["roles"]).split(", "))
    assert {"default", "params", "score", "weight_norm", "l2_norm"} <= roles
    held_out = frame["held_out_accuracy"].to_numpy()
    assert np.allclose(frame["accuracy"], 100 - held_out)
    assert np.allclose(frame["difference"], held_out - held_out[0])
    assert found.by_role("params").held_out_accuracy in held_out
    assert found.by_role("nobody") is None
    page = found.report.read_text()
    assert "points against DeiT-like ViT" in page and "data:image/png;base64," in page
    assert (found.folder / "tournament.png").exists()
    for one in found.finalists:
        assert f"<td>{one.name}</td>" in page


def test_a_better_one_that_had_gone_out_is_named(contest, books, tmp_path):
    """The default is slow to start, and best in the end."""

    def held_out(student, epochs):
        late = student["arch"]["depth"] == 12 and epochs == 8
        return 90.0 if late else by_depth(student, epochs)

    books.held_out = held_out
    found = contest.play(tmp_path / "t")
    assert found.winner.row is not None
    assert any(
        "finalist-01 (default) went out, and trained on" in note and "90.00 %" in note
        for note in found.notes
    )


def test_a_calibration_of_before_decides_the_score(contest, books, tmp_path):
    table = contest.table()
    shallow = {row: 50 - 5 * table.features["depth"][row] for row in range(8)}
    learnt = tvtfast.calibrate(table, shallow)
    found = contest.play(tmp_path / "t", calibration=learnt)
    by_score = next(one for one in found.finalists if "score" in one.roles)
    assert by_score.row == int(np.argmax(learnt.predict(table)))


def test_another_tournament_is_refused(contest, books, tmp_path):
    contest.play(tmp_path / "t")
    for changes, named in (
        ({"finalists": 7}, "finalists was 6, now 7"),
        ({"seed": 1}, "seed was 0, now 1"),
        ({"recipe": replace(contest.RECIPE, lr=1e-3)}, "recipe was"),
        ({"table": contest.table(29)}, "candidates was"),
        ({"train": contest.part("train", 90)}, "images was"),
        ({"how": Distillation(guidance=None, paper=True)}, "distillation was"),
    ):
        with pytest.raises(RunError, match=f"another run .*{named}"):
            contest.play(tmp_path / "t", **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    (
        ({"finalists": 3}, "finalists is 3"),
        ({"finalists": 8, "table": 6}, "finalists is 8, and 6 candidates"),
        ({"search_split": 0.0}, "go by held-out images, and search_split=0 holds none out"),
        ({"train_hours": -1}, "train_hours is -1"),
        ({"budget": 0}, "budget is 0"),
        (
            {"space": AutoFormerSpace("apart", (16, 24), (2, 3, 4, 5), (2.0, 3.0), (2, 4))},
            "enter the space with tvtfast.spaces.register",
        ),
        ({"space": "pit"}, "30 candidates that are no architectures of 'pit'"),
    ),
)
def test_what_cannot_be_is_refused(contest, books, tmp_path, changes, message):
    if "table" in changes:
        changes = {**changes, "table": contest.table(changes["table"])}
    with pytest.raises(ValueError, match=message):
        contest.play(tmp_path / "t", **changes)
    assert not books.calls


@pytest.mark.parametrize(
    ("recipe", "message"),
    (
        ({"epochs": 7}, "6 finalists take 4 rungs, and the recipe has 7 epochs; give at least 8"),
        ({"warmup_epochs": 1}, "warmup_epochs is 1, and the first rung has 1 epochs"),
        ({"tokens": ProgressiveTokens()}, "progressive tokens, which are laid over"),
    ),
)
def test_a_recipe_without_rungs_is_refused(contest, books, tmp_path, recipe, message):
    with pytest.raises(ValueError, match=message):
        contest.play(tmp_path / "t", recipe=replace(contest.RECIPE, **recipe))
    assert not list(tmp_path.iterdir())


def test_the_score_of_a_failed_training_tells_nothing(contest, books, tmp_path):
    books.diverging = {"finalist-03"}
    found = contest.play(tmp_path / "t")
    text = contest.SPACE.text(contest.table().candidates[found.finalist("finalist-03").row])
    assert text not in found.calibration.trained and math.isfinite(found.student.accuracy)


@pytest.mark.slow
def test_killed_twice_and_continued_is_the_same_to_the_bit(
    contest, tmp_path, start_program, kill_once, assert_same, last_weights
):
    """The real trainer, in another process, killed in the first rung and in a later one."""
    one, later = (tmp_path / "run" / "finalists" / f"finalist-0{n}" / "last.pt" for n in (2, 8))
    for reached in (one, later):
        process = start_program(contest, tmp_path / "run")
        kill_once(process, reached.exists)
    continued = contest.play(tmp_path / "run")
    whole = contest.play(tmp_path / "whole")
    assert continued.winner == whole.winner and continued.notes == whole.notes
    names = {path.name for path in (whole.folder / "finalists").iterdir()}
    assert names == {one.name for one in whole.finalists}
    for name in sorted(names):
        first, second = (found.folder / "finalists" / name for found in (continued, whole))
        assert_same(last_weights(first), last_weights(second))
        assert continued.courses[name].accuracies == whole.courses[name].accuracies
    assert continued.comparison.equals(whole.comparison)
    card = whole.student.student.card
    steps = [{"after": end, "epochs": end} for end in whole.rungs.epochs[:-1]]
    assert card.recipe["continued"] == steps
    rates = [row["lr"] for row in whole.student.history]
    assert all(rates[end] > rates[end - 1] for end in (2, 4)), "a rung begins higher again"


def test_a_run_trains_finalists_of_its_search(small, printed, tmp_path, teacher):
    """Search, tournament, export and report, with a teacher that is given."""
    printed.builds = True
    found = small.run(
        tmp_path / "run",
        teacher=teacher,
        trials=8,
        finalists=4,
        train_hours=1,
        recipe=replace(small.STUDENT, epochs=8),
    )
    contest = found.tournament
    assert found.best == contest.winner.described and found.student is contest.student
    assert contest.folder == tmp_path / "run" / "tournament"
    assert all(one.params <= small.BUDGET for one in contest.finalists)
    assert {"teacher_aware", "weight_norm"} <= {r for f in contest.finalists for r in f.roles}
    assert not {"student", "plain", "deit"} & {path.name for path in found.folder.iterdir()}
    exported = load_student(found.folder / "export")
    assert exported.card.arch == found.best["arch"]
    searched = json.loads((found.folder / "search" / "run.json").read_text())["settings"]
    assert searched["racing"] is False, "a calibration takes no estimates"
    page = found.report.read_text()
    for words in ("<h2>Tournament</h2>", 'href="tournament/report.html"'):
        assert words in page, words
    assert f"tvtfast export --student {contest.student.folder}" in page
    assert list(found.seconds) == ["search", "tournament"]
    shown = _data(found)["tournament"]
    assert shown["winner"] == contest.winner.name and len(shown["comparison"]) >= 2
    assert "winner (" in _summary(found)
    with pytest.raises(RunError, match="finalists was 4, now None"):
        small.run(tmp_path / "run", teacher=teacher, trials=8)


def test_the_command_line_takes_finalists_for_one_system(capsys):
    for flags in (("--finalists", "4"), ("--train-hours", "2")):
        assert main(["run", "--system", "vitas", "--data-set", "digits", *flags]) == 2
        assert f"{flags[0]} is given, and --system vitas has no use for" in capsys.readouterr().err
