"""Searching: what it leaves behind, and that stopping it loses nothing."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys

import pandas as pd
import pytest

import tvtfast
from tvtfast import spaces
from tvtfast.data import frozen_batch
from tvtfast.proxies import Proxy
from tvtfast.strategies import Budget, Scores

TINY = spaces.get("autoformer-tiny")
WINDOW = {"params": (5.0e6, 7.0e6)}


@pytest.fixture(scope="module")
def arguments(teacher):
    return {
        "teacher": teacher,
        "images": frozen_batch("digits", 3),
        "patch_size": 16,
        "constraints": WINDOW,
    }


def test_result_and_folder(arguments, tmp_path):
    result = tvtfast.search(TINY, trials=6, run_dir=tmp_path, seed=4, **arguments)
    frame = result.table.to_pandas()
    assert len(frame) == 6 and frame["arch"].is_unique
    assert frame["params"].between(*WINDOW["params"]).all()
    assert result.scores[result.best_row] == result.scores.max()
    assert result.order == tuple(result.scores.sort_values(ascending=False).index)

    best = json.loads((tmp_path / "best.json").read_text())
    module = tvtfast.build(best["arch"], space=best["space"], **best["model_options"])
    assert sum(p.numel() for p in module.parameters()) == best["params"]
    assert TINY.decode(best["arch"]) == result.best

    run = json.loads((tmp_path / "run.json").read_text())
    assert run["status"] == "finished" and run["settings"]["trials"] == 6
    assert {"scoring", "ranking", "report", "set-up"} <= run["seconds"].keys()
    assert run["versions"]["torch"] and run["machine"]["cores"]
    names = {path.name for path in tmp_path.iterdir()}
    assert {"scores.csv", "scores.sqlite", "report.html"} <= names
    assert "data:image/png;base64" in (tmp_path / "report.html").read_text()
    assert not [name for name in names if name.endswith(".tmp")]


def test_in_memory_search_writes_nothing(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = tvtfast.search("autoformer-tiny", trials=2, proxies=["weight_norm"], **arguments)
    assert result.run_dir is None and not list(tmp_path.iterdir())


def test_seed_decides_everything(arguments):
    first, again = (tvtfast.search(TINY, trials=3, seed=1, **arguments) for _ in range(2))
    pd.testing.assert_frame_equal(first.table.to_pandas(), again.table.to_pandas())
    other = tvtfast.search(TINY, trials=3, seed=2, **arguments)
    assert set(other.table.to_pandas()["arch"]).isdisjoint(first.table.to_pandas()["arch"])


def test_a_finished_run_is_read_not_computed(arguments, tmp_path):
    calls = []
    counting = Proxy("counting", lambda inputs: calls.append(1) or float(inputs.params))
    for _ in range(2):
        result = tvtfast.search(TINY, trials=4, run_dir=tmp_path, proxies=[counting], **arguments)
    assert len(calls) == 4 and result.evaluated == 0
    more = tvtfast.search(TINY, trials=6, run_dir=tmp_path, proxies=[counting], **arguments)
    assert len(calls) == 6 and more.evaluated == 2


SCRIPT = """
import sys, tvtfast
from tvtfast.data import frozen_batch
from tvtfast.models import CifarResNet
teacher = tvtfast.load_teacher(tvtfast.initialize_(CifarResNet(8, 10), seed=1), input_size=32)
tvtfast.search(
    "autoformer-tiny", trials=30, run_dir=sys.argv[1], teacher=teacher,
    images=frozen_batch("digits", 3), patch_size=16, constraints={"params": (5.0e6, 7.0e6)},
)
"""


def stored(folder):
    path = folder / "scores.sqlite"
    if not path.exists():
        return 0
    from tvtfast.scoring.store import ScoreStore

    with ScoreStore(path) as store:
        return len(store)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs POSIX signals")
def test_kill_and_continue(arguments, tmp_path, kill_once):
    """kill -9 in the middle, twice: the same final table, and no score computed twice."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    expected = tvtfast.search(TINY, trials=30, run_dir=whole, **arguments)
    environment = os.environ | {"OMP_WAIT_POLICY": "passive"}
    counts = 3 * 30  # parameters, FLOPs and weight norms come first, for all candidates
    reached = counts
    for _ in range(2):
        process = subprocess.Popen([sys.executable, "-c", SCRIPT, broken], env=environment)
        kill_once(process, lambda enough=reached + 4: stored(broken) > enough)
        reached = stored(broken)
    assert counts + 4 < reached < counts + 30, "killed neither before the start nor after the end"
    assert json.loads((broken / "run.json").read_text())["status"] == "running"
    resumed = tvtfast.search(TINY, trials=30, run_dir=broken, **arguments)
    assert 0 < resumed.evaluated <= 30 - (reached - counts)
    pd.testing.assert_frame_equal(expected.table.to_pandas(), resumed.table.to_pandas())
    assert (whole / "scores.csv").read_text() == (broken / "scores.csv").read_text()
    assert (whole / "best.json").read_text() == (broken / "best.json").read_text()


def test_interrupts_and_failures_are_noted(arguments, tmp_path):
    def interrupt(inputs):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tvtfast.search(
            TINY,
            trials=3,
            run_dir=tmp_path,
            proxies=["weight_norm", Proxy("interrupt", interrupt)],
            **arguments,
        )
    assert json.loads((tmp_path / "run.json").read_text())["status"] == "interrupted"
    assert stored(tmp_path) >= 1


def test_nothing_could_be_ranked(arguments, tmp_path):
    result = tvtfast.search(
        TINY, trials=2, run_dir=tmp_path, proxies=[Proxy("none", lambda inputs: 1 / 0)], **arguments
    )
    assert result.order == () and (tmp_path / "report.html").exists()
    assert not (tmp_path / "best.json").exists()
    with pytest.raises(ValueError, match="no candidate could be ranked"):
        _ = result.best


def test_own_strategies_see_scores_of_what_they_proposed(arguments):
    seen = []

    def two_rounds(space, budget: Budget):
        population = space.sample(3, budget.seed, budget.constraints, **budget.options)
        scores = yield population
        seen.append(scores)
        best = population[max(range(3), key=lambda row: scores[row])]
        yield [space.mutate(best, 9), best]

    result = tvtfast.search(TINY, strategy=two_rounds, proxies=["weight_norm"], **arguments)
    assert len(seen) == 1 and len(seen[0]) == 3
    assert len(result.table) == 4, "a candidate proposed twice is one row"


def test_strategies_are_told_columns_and_one_scale_for_all_generations():
    told = []

    def three_rounds(space, budget: Budget):
        archs = space.sample(7, 3)
        for population in (archs[:3], archs[3:5], [archs[0], *archs[5:]]):
            budget.note(round=len(told))
            told.append((population, (yield population)))
        return archs[4]

    result = tvtfast.search("pit", strategy=three_rounds, proxies=["params", "flops"])
    frame = result.table.to_pandas()
    pit = result.space
    for population, scores in told:
        seen = frame.iloc[: len(scores.archive)]
        spans = seen[["params", "flops"]].astype(float)
        scaled = ((spans - spans.min()) / (spans.max() - spans.min())).sum(axis=1)
        assert [pit.encode(arch) for arch in scores.archive] == seen["arch"].tolist()
        assert list(scores.archive.values()) == pytest.approx(scaled.tolist())
        assert list(scores) == [scores.archive[arch] for arch in population]
        assert scores[:2] == (scores[0], scores[1]) and len(scores) == len(population)
        params = scores.columns["params"]
        assert params.higher_is_better and list(params.values) == list(map(pit.params, population))
        ordered = sorted(scores.archive.values(), reverse=True)
        assert [scores.archive[arch] for arch in scores.best(3)] == ordered[:3]
    assert result.best == result.answer == told[1][0][1]
    assert result.trace["round"].tolist() == [0, 1, 2]
    assert result.trace["evaluations"].tolist() == [3, 5, 7]
    # the third round repeats an architecture of the first
    third = result.scores[[0, 5, 6]]
    assert result.trace["mean"].tolist() == pytest.approx(
        [result.scores[:3].mean(), result.scores[3:5].mean(), third.mean()]
    )


def test_an_answer_must_have_been_proposed():
    def hasty(space, budget: Budget):
        first, second = space.sample(2, 0)
        yield [first]
        return second

    with pytest.raises(ValueError, match="which it has not proposed; yield it first"):
        tvtfast.search("pit", strategy=hasty, proxies=["params"])


def test_scores_without_a_value_are_never_the_best():
    scores = Scores([math.nan, 1.0], {}, {"a": math.nan, "b": 1.0, "c": 2.0, "d": 1.0})
    assert scores.best(4) == ["c", "b", "d"] and "2 arch" not in repr(scores)
    assert math.isnan(next(iter(scores)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objectives": ["accuracy"]}, "objectives are accuracy; give some of weight_norm, params"),
        ({"objectives": []}, "objectives are empty"),
        (
            {"proxies": ["tvt"], "objectives": ["tvt"]},
            "tvt is scaled over a population, name its parts",
        ),
        (
            {"strategy": "nsga2", "racing": True},
            "a race is not possible: strategy 'nsga2' learns from the scores of every",
        ),
    ],
)
def test_objectives_and_races_that_are_not_possible(arguments, changes, message):
    given = {"proxies": ["weight_norm"], "trials": 4} | arguments | changes
    with pytest.raises(ValueError, match=message):
        tvtfast.search(TINY, **given)


def test_any_strategy_can_have_a_front():
    result = tvtfast.search("pit", trials=30, proxies=["flops"], objectives=["flops", "params"])
    frame = result.table.to_pandas().astype({"params": float, "flops": float})
    least = [frame["flops"].idxmin(), frame["params"].idxmin()]
    assert result.front[0] == least[0] and result.front[-1] == least[1]
    assert tvtfast.search("pit", trials=3, proxies=["flops"]).front == ()


def test_equal_scores_are_ordered_by_architecture(arguments):
    constant = Proxy("constant", lambda inputs: 1.0)
    result = tvtfast.search(TINY, trials=5, proxies=[constant], **arguments)
    labels = result.table.to_pandas()["arch"]
    assert [labels[row] for row in result.order] == sorted(labels)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"trials": 0}, ValueError, "trials is 0"),
        (
            {"strategy": "annealing"},
            ValueError,
            "unknown strategy 'annealing'; known: evolution, exact",
        ),
        ({"method": "median"}, ValueError, "unknown method 'median'"),
        ({"constraints": {"params": (1, 2)}}, tvtfast.InfeasibleError, "the space spans params"),
    ],
)
def test_bad_input(arguments, tmp_path, changes, error, message):
    with pytest.raises(error, match=message):
        tvtfast.search(TINY, run_dir=tmp_path, **({"trials": 1} | arguments | changes))
