"""Limits on what is scored: who is outside never wins, and nothing is measured twice."""

from __future__ import annotations

import json
import math

import pandas as pd
import pytest
import torch

import tvtfast
from tvtfast import spaces
from tvtfast.cli import main
from tvtfast.proxies import Proxy
from tvtfast.scoring.constraints import violations
from tvtfast.spaces import InfeasibleError, VitasDeitSpace
from tvtfast.strategies import NSGA2, Budget, Column, Evolution, Scores

SPACE = spaces.register(
    VitasDeitSpace("test-limits", (16,), (12, 24), 2, 1, (2, 3), (36, 72), (24, 48))
)
OPTIONS = {"img_size": 32, "patch_size": 16, "num_classes": 10, "device": "cpu"}
SIZE = Proxy("size", lambda inputs: float(inputs.params))
BATCH = 4


@pytest.fixture
def measured(monkeypatch):
    """Passes that were timed: one takes as many seconds as the module has parameters, so that
    ``throughput`` is ``BATCH / params``."""
    timed = []

    def seconds(module, images):
        timed.append(module)
        return float(sum(p.numel() for p in module.parameters()))

    monkeypatch.setattr("tvtfast.proxies.forward_pass.seconds", seconds)
    return timed


def rate(params):
    return BATCH / params


def search(run_dir=None, *, most, **changes):
    """The largest architecture of at most so many parameters, as far as throughput tells."""
    arguments = {
        "strategy": "random",
        "trials": 30,
        "proxies": [SIZE],
        "constraints": {"throughput": (rate(most), None)},
        "images": torch.randn(BATCH, 3, 32, 32),
        "run_dir": run_dir,
    }
    torch.manual_seed(0)
    return tvtfast.search(SPACE, **OPTIONS | arguments | changes)


def middle():
    sizes = sorted(SPACE.params(arch, **without_device()) for arch in SPACE.sample(50, 1))
    return sizes[20]


def without_device():
    return {name: value for name, value in OPTIONS.items() if name != "device"}


def test_distances_by_hand():
    frame = pd.DataFrame({"a": [1.0, 5.0, 12.0, math.nan, 2.0], "b": [0.0, 0.0, -1.0, 0.0, 3.0]})
    limits = {"a": (2.0, 10.0), "b": (-math.inf, 0.0)}
    assert violations(frame, limits).tolist() == [0.5, 0.0, 0.2, math.inf, 3.0]
    assert violations(frame, {}).tolist() == [0.0] * 5


def test_the_former_name_of_constraints():
    table = tvtfast.score(
        tvtfast.spaces.get("pit").sample(2, 0),
        space="pit",
        proxies=["params"],
        constraints={"flops": (0, None)},
    )
    with pytest.warns(DeprecationWarning, match="constraints now"):
        assert table.limits == table.constraints == {"flops": (0.0, math.inf)}


@pytest.mark.parametrize("strategy", ("random", "evolution", "nsga2", "reinforce", "exhaustive"))
def test_the_winner_is_inside(strategy, measured, tmp_path):
    most = middle()
    trials = None if strategy == "exhaustive" else 40
    settings = {"evolution": Evolution(population=10), "nsga2": NSGA2(population=10)}
    result = search(
        tmp_path,
        most=most,
        strategy=settings.get(strategy, strategy),
        trials=trials,
        objectives=["size", "flops"],
    )
    frame = result.table.to_pandas()
    inside = (frame["params"] <= most).tolist()
    assert not all(inside) and any(inside)
    status, reasons = result.table.status["throughput"], result.table.reasons["throughput"]
    assert (status == "ok").tolist() == inside
    assert set(status) == {"ok", "infeasible"} and "and not throughput in" in max(reasons)
    assert result.scores.notna().tolist() == inside
    assert result.order and all(inside[row] for row in result.order)
    assert result.front and all(inside[row] for row in result.front)
    assert result.scores.name == "minmax_sum" and result.table.scored == ("size",)
    if strategy != "reinforce":
        assert frame["params"][result.best_row] == frame["params"][inside].max()
    best = json.loads((tmp_path / "best.json").read_text())
    assert best["params"] <= most and best["limited"] == {"throughput": rate(best["params"])}
    written = pd.read_csv(tmp_path / "scores.csv")
    assert (written["throughput_status"] == "infeasible").tolist() == [not one for one in inside]
    assert (written["throughput_spread"] == 0).all()
    outside = f"{inside.count(False)} of {len(frame)} candidates"
    assert outside in (tmp_path / "report.html").read_text()
    assert not result.table.trouble()


def test_the_best_sum_over_layers_inside(measured):
    """The first inside of those that ``exact`` lists, best first."""
    result = search(most=middle(), strategy="exact", trials=120, proxies=["weight_norm"])
    frame = result.table.to_pandas()
    inside = frame["params"] <= middle()
    assert 0 < inside.sum() < len(frame)
    assert result.best_row == frame["weight_norm"][inside].idxmax()


def test_parents_are_inside(measured):
    """Without mutation, what evolution proposes after its draws is made of those inside."""
    strategy = Evolution(population=10, parents=3, mutations=10, mutate_prob=0.0, size_prob=0.0)
    met = []

    def watched(space, budget):
        proposals = strategy(space, budget)
        population = next(proposals)
        while population:
            scores = yield population
            met.extend((arch, scores) for arch in scores.best(3))
            try:
                population = proposals.send(scores)
            except StopIteration:
                return

    search(most=middle(), strategy=watched, trials=40)
    assert met
    assert all(SPACE.params(arch, **without_device()) <= middle() for arch, _ in met)
    assert any(violation > 0 for _, scores in met for violation in scores.violations)


def test_nsga2_prefers_who_is_nearer_to_the_limit():
    """All are outside, so survivors are those that are least; objectives do not count."""
    budget = Budget(200, objectives={"size": True})
    proposals = NSGA2(population=10)(SPACE, budget)
    population, means = next(proposals), []
    while True:
        depths = [arch.depth for arch in population]
        means.append(sum(depths) / len(depths))
        columns = {"size": Column(tuple(map(float, depths)), True)}
        try:
            population = proposals.send(
                Scores([math.nan] * len(depths), columns, {}, [float(d) for d in depths])
            )
        except StopIteration:
            break
    assert sum(means[1:4]) / 3 < means[0]


def test_a_limit_can_be_moved_without_measuring_again(measured, tmp_path):
    search(tmp_path, most=middle())
    count = len(measured)
    assert count == 30 * 9
    moved = search(tmp_path, most=2 * middle())
    again = search(tmp_path, most=middle())
    assert len(measured) == count and again.evaluated == moved.evaluated == 0
    assert len(moved.order) > len(again.order)


def test_an_interrupted_search_ends_as_one_that_was_not(measured, tmp_path, monkeypatch):
    strategy = Evolution(population=10)
    whole = search(most=middle(), strategy=strategy, trials=40)
    count = len(measured)
    calls = []

    def stopping(inputs):
        calls.append(1)
        if len(calls) == 25:
            raise KeyboardInterrupt
        return float(inputs.params)

    stopped = {"proxies": [Proxy("size", stopping)]}
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path, most=middle(), strategy=strategy, trials=40, **stopped)
    assert json.loads((tmp_path / "run.json").read_text())["status"] == "interrupted"
    resumed = search(tmp_path, most=middle(), strategy=strategy, trials=40)
    assert len(measured) == 2 * count
    pd.testing.assert_frame_equal(whole.table.to_pandas(), resumed.table.to_pandas())
    assert whole.best == resumed.best and whole.order == resumed.order


def test_nothing_inside_says_what_was_reached(measured, tmp_path):
    with pytest.raises(InfeasibleError, match=r"none of 30 candidates has throughput in .*reached"):
        search(tmp_path, most=10)
    assert not (tmp_path / "best.json").exists()
    assert json.loads((tmp_path / "run.json").read_text())["status"] == "failed"
    broken = Proxy("broken", lambda inputs: 1 / 0)
    with pytest.raises(InfeasibleError, match="they reached no broken at all"):
        search(most=10, proxies=[SIZE, broken], constraints={"broken": (0, 1)})


def test_an_answer_outside_is_refused(measured):
    def stubborn(space, budget):
        population = space.sample(30, 0)
        yield population
        return max(population, key=space.params)

    with pytest.raises(InfeasibleError, match="the strategy returned .* outside throughput in"):
        search(most=middle(), strategy=stubborn)


def test_what_cannot_be_limited():
    with pytest.raises(ValueError, match="unknown constraint 'thruput'; known: params, flops"):
        search(most=1, constraints={"thruput": (1, None)})
    with pytest.raises(ValueError, match="constrain its parts: teacher_aware, weight_norm"):
        search(most=1, constraints={"tvt": (1, None)})
    with pytest.raises(ValueError, match="low 2 above high 1"):
        search(most=1, constraints={"throughput": (2, 1)})
    with pytest.raises(ValueError, match="needs images"):
        search(most=1, images=None)
    with pytest.raises(ValueError, match="a race is not possible: constraints"):
        search(most=1, racing=True)


def test_the_flag(measured, tmp_path, capsys):
    flags = ["search", "--space", "test-limits", "--device", "cpu", "--patch-size", "16"]
    flags += ["--proxies", "params", "--trials", "20", "--batch-size", str(BATCH)]
    window = ["--min-score-limits.throughput", str(rate(middle()))]
    assert main([*flags, *window, "--output-dir", str(tmp_path)]) == 0
    assert "of 20 candidates without throughput in [" in capsys.readouterr().out
    assert json.loads((tmp_path / "best.json").read_text())["params"] <= middle()
    assert main([*flags, "--min-score-limits.speed", "1", "--output-dir", str(tmp_path / "x")]) == 2
    assert "unknown constraint 'speed'" in capsys.readouterr().err
    assert main([*flags, "--score-limits.flops", "1", "--output-dir", str(tmp_path / "x")]) == 2
    assert "--score-limits of flops: give --param-limits" in capsys.readouterr().err
