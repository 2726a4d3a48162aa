"""Searches that race: the same best as full scoring, for less, and nothing lost."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing

import numpy as np
import pandas as pd
import pytest
import torch

import tvtfast
from tvtfast.data import frozen_batch
from tvtfast.proxies import Proxy
from tvtfast.scoring import joint as joint_scoring
from tvtfast.scoring.store import ScoreStore

SPACE = "autoformer-tiny"


@pytest.fixture(scope="module")
def arguments(teacher):
    return {
        "teacher": teacher,
        "images": frozen_batch("digits", 16),
        "patch_size": 16,
        "constraints": {"params": (5.0e6, 7.0e6)},
        "trials": 40,
        "top_k": 5,
    }


@pytest.fixture(scope="module")
def full(arguments):
    return tvtfast.search(SPACE, racing=False, **arguments)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("race")


@pytest.fixture(scope="module")
def raced(arguments, folder):
    return tvtfast.search(SPACE, run_dir=folder, **arguments)


def without_scores(result):
    return result.table.status["teacher_aware"] == "partial"


def test_the_best_are_those_of_full_scoring_for_less(full, raced):
    assert full.table.race is None and raced.table.race is not None
    assert raced.order[:5] == full.order[:5]
    assert raced.table.race.share < 0.75 and raced.table.race.images == 16
    counts = raced.table.counts()
    assert counts["partial"] == without_scores(raced).sum() > 0
    assert counts["ok"] + counts["partial"] == 5 * 40 and not raced.table.trouble()


def test_complete_candidates_have_the_scores_of_full_scoring(full, raced):
    complete = ~without_scores(raced)
    columns = ["params", "flops", "weight_norm"]
    ours, theirs = raced.table.to_pandas(), full.table.to_pandas()
    pd.testing.assert_frame_equal(ours[columns], theirs[columns])
    np.testing.assert_allclose(
        ours["teacher_aware"][complete], theirs["teacher_aware"][complete], rtol=1e-5
    )
    np.testing.assert_allclose(raced.scores[complete], full.scores[complete], atol=1e-3)


def test_who_went_out_is_estimated_and_ranks_last(full, raced):
    partial = without_scores(raced)
    assert raced.scores[partial].max() < raced.scores[~partial].min()
    flags = [bool(partial[row]) for row in raced.order]
    assert flags == sorted(flags) and len(flags) == 40
    assert (
        raced.table.reasons["teacher_aware"][partial]
        .str.fullmatch(
            r"estimated from \d+ of 16 images; it cannot reach the top 5 \(98 % confidence\)"
        )
        .all()
    )
    ours, theirs = raced.table.to_pandas(), full.table.to_pandas()
    assert ours["teacher_aware"].corr(theirs["teacher_aware"]) > 0.8
    frame = tvtfast.correlate(raced.table, {"truth": theirs["params"].astype(float)})
    assert (frame["n"] == 40).all()


def test_what_was_saved_is_told(raced, folder):
    race = json.loads((folder / "run.json").read_text())["race"]
    assert race["image_passes"] == raced.table.race.passes < race["image_passes_of_full_scoring"]
    assert race["rungs"][0] == {"images": 2, "candidates": 40}
    page = (folder / "report.html").read_text()
    assert "<h2>Race</h2>" in page and f"{raced.table.race.share:.0%} of the image passes" in page
    assert "None: every cell has a value." in page
    assert "teacher_aware_reason" in (folder / "scores.csv").read_text()


def test_a_finished_race_is_read_not_computed(raced, folder, arguments, tmp_path):
    again = tvtfast.search(SPACE, run_dir=folder, **arguments)
    assert again.evaluated == 0 and raced.evaluated == 40
    pd.testing.assert_frame_equal(again.table.to_pandas(), raced.table.to_pandas())
    assert again.table.race == raced.table.race
    with ScoreStore(folder / "scores.sqlite") as store:
        assert len(store) == 4 * 40 - without_scores(raced).sum()
    shutil.copy(folder / "scores.sqlite", tmp_path)
    in_full = tvtfast.search(SPACE, run_dir=tmp_path, racing=False, **arguments)
    assert in_full.evaluated == without_scores(raced).sum() and in_full.table.race is None


def test_weight_draws_are_averaged_image_by_image(arguments):
    changes = arguments | {"trials": 12, "top_k": 2, "init_seeds": 2}
    raced = tvtfast.search(SPACE, racing=True, **changes)
    whole = tvtfast.search(SPACE, racing=False, **changes)
    assert raced.order[:2] == whole.order[:2]
    complete = ~without_scores(raced)
    for column in ("teacher_aware", "teacher_aware_std"):
        np.testing.assert_allclose(
            raced.table.to_pandas()[column][complete],
            whole.table.to_pandas()[column][complete],
            rtol=1e-4,
        )


def test_the_usual_search_decides_by_size(arguments):
    few = arguments | {"trials": 39, "proxies": ["teacher_aware"]}
    assert tvtfast.search(SPACE, **few).table.race is None
    images = arguments | {"images": frozen_batch("digits", 15)}
    assert tvtfast.search(SPACE, **images).table.race is None
    sums = tvtfast.search(SPACE, **arguments | {"proxies": ["weight_norm"]})
    assert sums.table.race is None and sums.table.counts()["partial"] == 0


def test_all_are_complete_where_all_are_wanted(arguments):
    changes = arguments | {"trials": 8, "top_k": 8}
    raced = tvtfast.search(SPACE, racing=True, **changes)
    assert raced.table.counts()["partial"] == 0 and raced.table.race.share == 1.0


def test_combined_columns_know_what_is_estimated(arguments):
    raced = tvtfast.search(SPACE, **arguments | {"proxies": ["tvt"]})
    partial = without_scores(raced)
    assert (raced.table.status["tvt"] == "partial").equals(partial)
    tvt = raced.table.to_pandas()["tvt"]
    pd.testing.assert_series_equal(tvt, raced.scores, check_names=False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"protocol": "paper"}, "protocol 'paper' shows every candidate other images"),
        ({"proxies": ["weight_norm"]}, "no proxy is a mean over images, and weight_norm cost"),
        (
            {"proxies": ["teacher_aware", Proxy("own", lambda inputs: 1.0)]},
            "own are neither means over images nor sums over layers",
        ),
        ({"method": "zscore_sum"}, "with 'zscore_sum' the scores of teacher_aware, weight_norm"),
        ({"method": lambda frame: frame["weight_norm"]}, "is a function of your own"),
        ({"images": frozen_batch("digits", 3)}, "there are 3 images, and a race takes 4 or more"),
    ],
)
def test_races_that_are_not_possible(arguments, changes, message):
    with pytest.raises(ValueError, match=f"a race is not possible: .*{message}"):
        tvtfast.search(SPACE, racing=True, **arguments | changes)


def test_one_proxy_races_with_any_method(arguments):
    changes = arguments | {"trials": 12, "proxies": ["teacher_aware"], "method": "zscore_sum"}
    assert tvtfast.search(SPACE, racing=True, **changes).table.race is not None


def test_top_k_is_checked(arguments):
    with pytest.raises(ValueError, match="top_k is 0; give a whole number of at least 1"):
        tvtfast.search(SPACE, **arguments | {"top_k": 0})


def test_candidates_with_nan_are_told_apart(arguments):
    def broken(inputs):
        scores = inputs.features.x.mean(dim=(-2, -1))
        return torch.where(scores > scores.mean(), scores, torch.nan)

    proxy = Proxy(
        "broken",
        lambda inputs: float(broken(inputs).mean()),
        needs=frozenset({"weights", "images"}),
        per_image=broken,
    )
    few = arguments | {"trials": 6, "proxies": [proxy]}
    result = tvtfast.search(SPACE, racing=True, **few)
    assert set(result.table.status["broken"]) <= {"nan", "ok", "partial"}
    failed = result.table.status["broken"] == "nan"
    assert failed.any() and not set(np.flatnonzero(failed)) & set(result.order)
    with pytest.raises(tvtfast.ScoringError, match="broken: the score is nan"):
        tvtfast.search(SPACE, racing=True, on_error="raise", **few)


SCRIPT = """
import sys, time, tvtfast
from tvtfast.scoring import joint as joint_scoring
from tvtfast.data import frozen_batch
from tvtfast.models import CifarResNet
original = joint_scoring.JointScorer.per_image
def slowly(*arguments):
    for found in original(*arguments):
        yield found
        time.sleep(0.03)
joint_scoring.JointScorer.per_image = slowly
teacher = tvtfast.load_teacher(tvtfast.initialize_(CifarResNet(8, 10), seed=1), input_size=32)
tvtfast.search(
    "autoformer-tiny", trials=40, top_k=5, run_dir=sys.argv[1], teacher=teacher,
    images=frozen_batch("digits", 16), patch_size=16, constraints={"params": (5.0e6, 7.0e6)},
)
"""


def images_stored(folder):
    path = folder / "scores.sqlite"
    if not path.exists():
        return 0
    with ScoreStore(path):
        pass
    with closing(sqlite3.connect(path)) as connection:
        return sum(
            len(blob) // 8 for (blob,) in connection.execute("SELECT scores FROM image_scores")
        )


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs POSIX signals")
def test_kill_and_continue(arguments, raced, folder, tmp_path, monkeypatch, kill_once):
    """kill -9 in the first rung and in a later one: the same table, and no image scored twice."""
    environment = os.environ | {"OMP_WAIT_POLICY": "passive"}
    reached = 0
    for enough in (10, 90):
        process = subprocess.Popen([sys.executable, "-c", SCRIPT, tmp_path], env=environment)
        kill_once(process, lambda enough=enough: images_stored(tmp_path) >= enough)
        reached = images_stored(tmp_path)
    total = raced.table.race.passes
    assert 90 <= reached < total, "killed neither before the second rung nor after the end"

    computed = []
    original = joint_scoring.JointScorer.per_image

    def counting(self, proxies, rows=None, images=None):
        computed.append(len(rows) * len(images))
        return original(self, proxies, rows, images)

    monkeypatch.setattr(joint_scoring.JointScorer, "per_image", counting)
    resumed = tvtfast.search(SPACE, run_dir=tmp_path, **arguments)
    assert sum(computed) == total - reached
    pd.testing.assert_frame_equal(resumed.table.to_pandas(), raced.table.to_pandas())
    pd.testing.assert_frame_equal(resumed.table.status, raced.table.status)
    assert (tmp_path / "scores.csv").read_text() == (folder / "scores.csv").read_text()
    assert resumed.table.race == raced.table.race
