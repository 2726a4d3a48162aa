"""Forecasts from small runs: lines are continued, images are counted on."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from tvtfast.cli import main
from tvtfast.data import Splits, VisionDataset
from tvtfast.distill import STUDENT_RECIPE, ProgressiveTokens
from tvtfast.pipeline.forecasts import (
    Asked,
    forecast_growth,
    forecast_run,
    forecast_search,
    forecast_training,
    growth,
    least_trials,
    short,
)
from tvtfast.spaces import get as get_space

TOPOLOGY = "8,2,3|4,1,2|4,1,4|4,1,6|32"
FIVE = replace(STUDENT_RECIPE, epochs=5, batch_size=20)
PIXELS = ["--img-size", "16", "--patch-size", "8"]


def images(count, split):
    pixels = np.zeros((count, 4, 4, 3), np.uint8)
    return VisionDataset(pixels, np.arange(count) % 2, ("a", "b"), name="mine", split=split)


def record(folder, wall, processor=0.0, **known):
    folder.mkdir(parents=True, exist_ok=True)
    cost = {"wall_seconds": wall, "processor_seconds": processor, "host_memory": 123}
    cost |= {"threads": 2}
    (folder / "run.json").write_text(json.dumps({"settings": {}, "cost": cost, **known}))


def log(folder, *rows):
    with open(folder / "log.csv", "w", newline="") as text:
        table = csv.DictWriter(text, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def test_a_search_is_a_line_through_two_small_ones():
    asked = []

    def search(trials, folder):
        asked.append(trials)
        imports = 4.0 if len(asked) == 1 else 0.0
        seconds = {"set-up": 3.0 + imports, "scoring": 1.0 + 0.5 * trials, "report": 2.0}
        processor = sum(seconds.values()) + 0.5 * seconds["scoring"]
        busy = {**seconds, "scoring": 1.5 * seconds["scoring"]}
        record(folder, sum(seconds.values()), processor, seconds=seconds, processor_seconds=busy)
        sizes.append((folder / "run.json").stat().st_size)
        (folder / "scores").write_bytes(bytes(1000 + 10 * trials))

    sizes = []
    found = forecast_search(search, 1000, seconds=10.0)
    assert asked == [8, 24], "ten seconds more at those of a candidate"
    assert found.seconds() == pytest.approx(7.0 + 1.0 + 500.0 + 2.0)
    assert found.processor() == pytest.approx(7.0 + 1.5 * 501.0 + 2.0)
    assert found.seconds(10) == pytest.approx(7.0 + 1.0 + 50.0 + 2.0)
    of_record = (sizes[1] - sizes[0]) / 16 * (1000 - 24) + sizes[1]
    assert found.disk == round(of_record) + 1000 + 10 * 1000 and found.memory == 123
    low, high = found.interval()
    assert low < found.seconds() < high


def test_a_training_is_counted_by_images():
    """0.1 s to train an image, 0.02 s to look at one, 7 s of set-up, 3 s of files in every
    epoch."""
    splits = Splits(images(1000, "train"), images(100, "val"), images(200, "test"), 0.1)
    seen = []

    def train(some, folder):
        sizes = len(some.train), len(some.held_out), len(some.test)
        seen.append(sizes)
        epoch = 0.1 * sizes[0] + 0.02 * sizes[1]
        record(folder, 7.0 + epoch + 3.0 + 0.02 * sizes[2], file_seconds=3.0)
        log(folder, {"epoch": 1, "seconds": epoch, "images_per_second": 10.0})

    found = forecast_training("distill", train, splits, recipe=FIVE, seconds=20.0)
    assert seen == [(40, 4, 8), (80, 8, 16), (160, 16, 32)]
    assert found.seconds() == pytest.approx(7.0 + 5 * (100.0 + 2.0 + 3.0) + 4.0, rel=1e-6)
    assert found.seconds(2) == pytest.approx(7.0 + 5 * (51.0 + 3.0) + 4.0, rel=1e-6)


def test_all_images_are_the_most_that_is_trained_on():
    splits = Splits(images(50, "train"), None, images(10, "test"), 0.0)
    seen = []

    def train(some, folder):
        seen.append(len(some.train))
        assert some.held_out is None
        record(folder, 1.0)
        log(folder, {"epoch": 1, "seconds": 0.1, "images_per_second": 500})

    recipe = replace(FIVE, epochs=1, batch_size=16)
    forecast_training("distill", train, splits, recipe=recipe, seconds=60.0)
    assert seen == [32, 50]


def test_tokens_of_every_epoch_are_counted_on():
    """Coarse tokens take a fifth: 3 of 10 epochs."""
    tokens = ProgressiveTokens(((0.0, 2), (0.3, 1)))
    recipe = replace(FIVE, epochs=10, batch_size=10, tokens=tokens)
    assert short(recipe).epochs == 2 and short(FIVE).epochs == 1
    splits = Splits(images(100, "train"), None, images(1, "test"), 0.0)

    def train(some, folder):
        coarse, fine = (len(some.train) * each for each in (0.02, 0.1))
        record(folder, coarse + fine)
        names = ("epoch", "seconds", "images_per_second", "dilation")
        rows = [(1, coarse, 50.0, 2), (2, fine, 10.0, 1)]
        log(folder, *(dict(zip(names, row, strict=True)) for row in rows))

    found = forecast_training("distill", train, splits, recipe=recipe, seconds=1e-3)
    assert found.parts[1].each * 10 == pytest.approx(3 * 2.0 + 7 * 10.0)


def test_features_that_a_teacher_keeps_are_part_of_set_up():
    """2 s of set-up, 3 s of imports that the first training meets, 0.05 s for an image's
    features."""
    splits = Splits(images(1000, "train"), None, images(1, "test"), 0.0)
    seen = []

    def train(some, folder):
        count = len(some.train)
        imports = 0.0 if seen else 3.0
        seen.append(count)
        record(folder, 2.0 + imports + 0.05 * count + 0.1 * count)
        log(folder, {"epoch": 1, "seconds": 0.1 * count, "images_per_second": 10.0})

    arguments = {"recipe": FIVE, "seconds": 1e-3}
    found = forecast_training("distill", train, splits, offline=True, **arguments)
    assert seen == [40, 80, 160], "two that met no imports make a line"
    assert found.parts[0].fixed == pytest.approx(2 + 3 + 50, abs=0.1)


def test_growth_is_counted_between_the_steps_that_were_scored():
    """A candidate of step n takes n + 1 seconds; 4 s of set-up and files."""
    clock = {"seconds": 0.0}
    growths = [[[(step, one) for one in range(16)] for step in range(steps)] for steps in (9, 3, 5)]

    def grow(folder):
        record(folder, 4.0 + 16.0, 20.0)
        return SimpleNamespace(seconds=16.0, steps=[step, refined])

    def on_paper(like):
        assert like == (step,), "steps for a target choose by size"
        return growths

    step, refined = SimpleNamespace(number=1, target=None), SimpleNamespace(number=1, target=1e6)

    def score(archs):
        clock["seconds"] += sum(1.0 + step for step, _ in archs)

    with pytest.MonkeyPatch.context() as patched:
        for name in ("perf_counter", "process_time"):
            patched.setattr(growth.time, name, lambda: clock["seconds"])
        found = forecast_growth(grow, score, on_paper, seconds=0.0)
    assert found.count == 5 * 16 and not found.exact
    assert found.seconds() == pytest.approx(4.0 + 16 * (1 + 2 + 3 + 4 + 5))
    low, high = found.interval()
    assert low < found.seconds() * 3 / 5 and found.seconds() * 9 / 5 < high


def test_a_small_search_is_as_large_as_its_populations():
    assert least_trials(raced=False, population=0) == 8
    assert least_trials(raced=True, population=0) >= 40, "no race is held among fewer"
    assert least_trials(raced=False, population=50) == 100


def test_a_run_is_the_sum_of_its_stages():
    """A student of 0.1 s an image, a teacher of 0.02 s, scoring of 0.5 s a candidate, growth of
    11 s, 2 s of set-up in every training and 3 s for the rest."""
    splits = Splits(images(1000, "train"), None, images(1, "test"), 0.0)
    recipes = {"teacher": replace(FIVE, epochs=7), "student": FIVE}
    seen = []

    def run(some, trials, folder):
        grown = (folder / "growth").is_dir()
        seen.append((len(some.train), trials, grown))
        total = 3.0
        for stage, each in (("teacher", 0.02), ("student", 0.1)):
            seconds = each * len(some.train)
            total += 2.0 + seconds
            record(folder / stage, 2.0 + seconds)
            log(folder / stage, {"epoch": 1, "seconds": seconds, "images_per_second": 1 / each})
        scoring = {"set-up": 1.0, "scoring": 0.5 * trials}
        both = {"seconds": scoring, "processor_seconds": scoring}
        record(folder / "search", sum(scoring.values()), **both)
        if not grown:
            record(folder / "growth", 11.0)
        total += sum(scoring.values()) + (0.0 if grown else 11.0)
        record(folder, total)

    asked = Asked(splits, 100, 8, recipes, by_held_out=False)
    found = forecast_run(run, asked, seconds=20.0)
    assert seen[0] == (40, 8, False) and seen[1][2], "growth is run once"
    taken = {part.name: part.seconds(5) for part in found.parts}
    expected = {"teacher": 2 + 140, "student": 2 + 500, "search": 51, "growth": 11, "the rest": 3}
    assert taken == pytest.approx(expected, abs=0.1)
    assert found.seconds(10) == pytest.approx(found.seconds() - 0.9 * 61, abs=0.1)
    assert found.fitting(1.0) == (3600 - 144 - 51 - 11 - 3) // 100


def test_the_command_line_plans_and_the_run_is_compared(tmp_path, capsys):
    run = ["--space", "autoformer-tiny", "--proxies", "params", "--trials", "12", *PIXELS]
    folder = str(tmp_path / "run")
    own = ["--seconds", "0.1", "--for-workers", "1", "4", "--budget-hours", "1"]
    assert main(["plan", "search", *run, "--output-dir", folder, *own]) == 0
    out = capsys.readouterr().out
    assert "search of 12 candidates" in out and "4 workers: " in out and "fit into 1 h" in out
    assert main(["search", *run, "--output-dir", folder]) == 0
    out = capsys.readouterr().out
    assert "forecast" in out and "of what it took" in out
    assert "error" in json.loads((tmp_path / "run" / "run.json").read_text())["forecast"]
    assert "of what it took" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


STUDENT = ["--arch", "STUDENT", "--guidance", "none", "--epochs", "2", "--batch-size", "64"]
LONG = {
    "search": ["--space", "autoformer-tiny", "--proxies", "naswot", "--trials", "120", *PIXELS],
    "distill": STUDENT,
    "supernet": ["--space", "vitas-deit", "--epochs", "1", "--batch-size", "64"],
    "grow": ["--arch", TOPOLOGY, "--target-params", "2e6", "--init-seeds", "1"],
    "run": ["--system", "as-vit", "--trials", "12", "--budget", "1", "--epochs", "2"],
}


@pytest.mark.slow
@pytest.mark.parametrize("command", sorted(LONG))
def test_every_command_is_planned_and_compared(command, tmp_path, capsys):
    """Another order of magnitude would be a wrong model, on however busy a machine."""
    arch = tmp_path / "arch.json"
    space = get_space("autoformer-tiny")
    (first,) = space.sample(1, 0)
    arch.write_text(json.dumps({"space": space.name, "arch": space.to_dict(first)}))
    given = [str(arch) if word == "STUDENT" else word for word in LONG[command]]
    given = [*given, "--data-set", "digits", "--output-dir", str(tmp_path / "run")]
    assert main(["plan", command, *given, "--seconds", "1", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["command"] == command and said["for_workers"][0]["seconds"] > 0
    assert sum(said["for_workers"][0]["shares"].values()) == pytest.approx(1.0)
    assert main([command, *given]) == 0
    found = json.loads((tmp_path / "run" / "run.json").read_text())["forecast"]
    assert 0.1 < found["seconds"] / found["took"] < 10
    assert 0.1 < found["processor_seconds"] / found["processor_took"] < 10


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "say what to plan: search, distill, supernet, grow, run"),
        (["serch"], "did you mean search?"),
        (["search", "--trails", "3"], "did you mean --trials"),
        (["search", "--seconds", "0"], "--seconds is 0"),
        (["search", "--workers", "4"], "--for-workers"),
        (["distill", "--workers", "4"], "--for-workers"),
        (["distill", "--data-set", "digits"], "name the architecture"),
        (["grow"], "name the topology"),
        (["grow", "--arch", TOPOLOGY, "--target-params", "2e6", "--train", "true"], "plan distill"),
        (["run", "--finalists", "4"], "plan the run without it"),
        (["run", "--system", "as-vit", "--teacher-epochs", "3"], "has no use for it"),
    ],
)
def test_what_cannot_be_planned_is_said(arguments, said, capsys):
    assert main(["plan", *arguments]) == 2
    assert said in capsys.readouterr().err
