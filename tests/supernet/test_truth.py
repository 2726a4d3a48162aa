"""Trainings of one's own as truth: a superformer's and those of its candidates."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

import tvtfast
from tvtfast.cli import main
from tvtfast.distill import Recipe, distill
from tvtfast.models import CifarResNet
from tvtfast.supernet import extract


@pytest.mark.slow
def test_trained_and_inherited_accuracies_are_collected_and_judged_by(
    small: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    train, test = small.part("train", 64), small.part("test", 30)
    teacher = tvtfast.load_teacher(tvtfast.initialize_(CifarResNet(8, 10), seed=1), input_size=32)
    runs = tmp_path / "runs"
    superformer = small.train(runs / "super", epochs=1, warmup_epochs=0).folder
    recipe = Recipe(epochs=2, batch_size=32, augmentation="light", warmup_epochs=0)
    archs = small.DEIT.sample(4, 3)
    accuracies = {}
    for number, arch in enumerate(archs):
        extract(superformer, arch, runs / f"cut-{number}", evaluation=test)
        for seed in range(2 if number == 0 else 1):
            accuracies[number, seed] = distill(
                arch,
                train,
                teacher,
                test=test,
                space=small.DEIT,
                output_dir=runs / f"taught-{number}-{seed}",
                recipe=recipe,
                seed=seed,
                device="cpu",
                **small.OPTIONS,
            ).accuracy
    plainly = {"test": test, "recipe": recipe, "device": "cpu"}
    made = distill(
        archs[1], train, space=small.DEIT, output_dir=runs / "plain", **plainly, **small.OPTIONS
    )
    distill(runs / "taught-0-0", train, output_dir=runs / "trained-on", **plainly)
    monkeypatch.chdir(tmp_path)
    assert main(["truth", "collect", "runs", "--output", "truth.csv"]) == 0
    said = capsys.readouterr().err.splitlines()
    assert said == [
        f"left out: {Path('runs/trained-on')}: it was trained on from other weights than those of "
        "seed 0"
    ]
    rows = pd.read_csv("truth.csv").set_index("arch")
    keys = [small.DEIT.encode(arch) for arch in archs]
    means = [np.mean([a for (n, _), a in accuracies.items() if n == k]) for k in range(4)]
    assert rows.loc[keys, "distilled_accuracy"].tolist() == pytest.approx(means)
    assert rows.loc[keys, "distilled_n"].tolist() == [2, 1, 1, 1]
    cards = [json.loads((runs / f"cut-{n}" / "student.json").read_text()) for n in range(4)]
    inherited = rows.loc[keys, "inherited_accuracy"].tolist()
    assert inherited == pytest.approx([card["accuracy"] for card in cards])
    assert rows["plain_accuracy"].dropna().to_dict() == {keys[1]: pytest.approx(made.accuracy)}

    judged = ["correlate", "--truth", "truth.csv", "--proxies", "params", "--resamples", "20"]
    assert main(judged) == 0
    found = pd.read_csv("runs/correlate/correlations.csv")
    counted = found[found["proxy"] == "params"].set_index("truth")["n"].to_dict()
    assert counted["distilled_accuracy"] == counted["inherited_accuracy"] == 4
    assert counted["plain_accuracy"] == 1
