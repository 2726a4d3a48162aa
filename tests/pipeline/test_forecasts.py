"""Forecasts from small runs: lines are continued, images are counted on."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pytest

from tvtfast.cli import main
from tvtfast.data import Splits, VisionDataset
from tvtfast.pipeline.forecasts import forecast_search, forecast_training, searches

PIXELS = ["--img-size", "16", "--patch-size", "8"]


@dataclass
class Result:
    timings: dict


def images(count, split):
    pixels = np.zeros((count, 4, 4, 3), np.uint8)
    return VisionDataset(pixels, np.arange(count) % 2, ("a", "b"), name="mine", split=split)


def record(folder, seconds):
    folder.mkdir(parents=True)
    cost = {"wall_seconds": seconds, "host_memory": 123}
    (folder / "run.json").write_text(json.dumps({"settings": {}, "cost": cost}))


def test_a_search_is_a_line_through_two_small_ones(monkeypatch):
    asked = []

    def search(trials, folder):
        asked.append(trials)
        imports = 4.0 if len(asked) == 1 else 0.0
        record(folder, 0.0)
        (folder / "scores").write_bytes(bytes(1000 + 10 * trials))
        return Result({"set-up": 3.0 + imports, "scoring": 1.0 + 0.5 * trials, "report": 2.0})

    monkeypatch.setattr(searches.time, "perf_counter", lambda: 0.0)
    found = forecast_search(search, 1000, seconds=10.0, raced=False)
    assert asked == [8, 24], "ten seconds more at those of a candidate"
    assert found.seconds() == pytest.approx(7.0 + 1.0 + 500.0 + 2.0)
    assert found.seconds(10) == pytest.approx(7.0 + 1.0 + 50.0 + 2.0)
    small = len(json.dumps({"settings": {}, "cost": {"wall_seconds": 0.0, "host_memory": 123}}))
    assert found.disk == small + 1000 + 10 * 1000 and found.memory == 123
    low, high = found.interval()
    assert low < found.seconds() < high


def test_a_training_is_counted_by_images():
    """0.1 s to train an image, 0.02 s to look at one, 7 s of set-up."""
    splits = Splits(images(1000, "train"), images(100, "val"), images(200, "test"), 0.1)
    seen = []

    def train(some, folder):
        sizes = len(some.train), len(some.held_out), len(some.test)
        seen.append(sizes)
        epoch = 0.1 * sizes[0] + 0.02 * sizes[1]
        record(folder, 7.0 + epoch + 0.02 * sizes[2])
        (folder / "log.csv").write_text(f"epoch,seconds,images_per_second\n1,{epoch},10.0\n")

    found = forecast_training("distill", train, splits, epochs=5, batch_size=20, seconds=20.0)
    assert seen == [(40, 4, 8), (80, 8, 16), (160, 16, 32)]
    assert found.seconds() == pytest.approx(7.0 + 5 * (100.0 + 2.0) + 4.0, rel=1e-6)
    assert found.seconds(2) == pytest.approx(7.0 + 5 * 51.0 + 4.0, rel=1e-6)


def test_all_images_are_the_most_that_is_trained_on():
    splits = Splits(images(50, "train"), None, images(10, "test"), 0.0)
    seen = []

    def train(some, folder):
        seen.append(len(some.train))
        assert some.held_out is None
        record(folder, 1.0)
        (folder / "log.csv").write_text("epoch,seconds,images_per_second\n1,0.1,500\n")

    forecast_training("distill", train, splits, epochs=1, batch_size=16, seconds=60.0)
    assert seen == [32, 50]


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


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "say what to plan: search, distill, supernet"),
        (["serch"], "did you mean search?"),
        (["search", "--trails", "3"], "did you mean --trials"),
        (["search", "--seconds", "0"], "--seconds is 0"),
        (["distill", "--data-set", "digits"], "name the architecture"),
    ],
)
def test_what_cannot_be_planned_is_said(arguments, said, capsys):
    assert main(["plan", *arguments]) == 2
    assert said in capsys.readouterr().err
