"""NSGA-II over every kind of space."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest

import tvtfast
from tvtfast import spaces
from tvtfast.searching.objectives import non_dominated
from tvtfast.strategies import NSGA2, Budget

PIT, TINY = spaces.get("pit"), spaces.get("autoformer-tiny")
WINDOW = {"params": (2e6, 8e6)}
OBJECTIVES = {"params": False, "flops": True}


def run(drive, space, trials, seed=0, **columns):
    columns = columns or {"params": (space.params, True), "flops": (space.flops, True)}
    objectives = OBJECTIVES if "flops" in columns else dict.fromkeys(columns, True)
    budget = Budget(trials, WINDOW, seed, objectives=objectives)
    return drive(NSGA2(population=20)(space, budget), lambda arch: 0.0, **columns)[0]


def costs(space, archs):
    return np.array([[space.params(arch), -space.flops(arch)] for arch in archs], dtype=float)


@pytest.mark.parametrize("space", [PIT, TINY], ids=["integers", "architectures"])
def test_proposals_are_new_and_inside_the_constraints(drive, space):
    populations = run(drive, space, 170)
    assert [len(population) for population in populations] == [20] * 8 + [10]
    proposed = [arch for population in populations for arch in population]
    assert len(set(proposed)) == 170
    assert all(space.satisfies(arch, WINDOW) for arch in proposed)
    assert populations == run(drive, space, 170) != run(drive, space, 170, seed=1)


def test_it_finds_the_front_sooner_than_random_draws(drive):
    """The true front of few parameters and many FLOPs, since PiT can be listed; random draws find
    as large a share of it as they are of the space."""
    everything = PIT.enumerate(WINDOW)
    front = {everything[row] for row in np.flatnonzero(non_dominated(costs(PIT, everything)))}
    found = {arch for population in run(drive, PIT, 200) for arch in population} & front
    assert len(front) >= 15
    assert len(found) > 1.7 * len(front) * 200 / len(everything)


def test_one_objective(drive):
    populations = run(drive, TINY, 200, size=(TINY.params, True))
    means = [np.mean([TINY.params(arch) for arch in population]) for population in populations]
    assert means[0] < means[1] < min(means[2:])


def test_candidates_without_a_value_have_no_children(drive):
    """Deep architectures fail. Without mutation a child is as deep as one of its parents."""

    def depth(arch):
        return math.nan if arch.depth == 14 else float(arch.depth)

    budget = Budget(160, WINDOW, objectives={"depth": True})
    strategy = NSGA2(population=20, mutate_prob=0.0)
    populations, _ = drive(strategy(TINY, budget), lambda arch: 0.0, depth=(depth, True))
    assert any(arch.depth == 14 for arch in populations[0])
    assert {arch.depth for population in populations[-3:] for arch in population} == {13}


def test_a_space_that_runs_out_ends_the_search(drive):
    window = {"params": (2.0e6, 2.3e6)}
    budget = Budget(1000, window, objectives={"params": False})
    proposals = NSGA2(population=10)(PIT, budget)
    populations, _ = drive(proposals, lambda arch: 0.0, params=(PIT.params, True))
    proposed = [arch for population in populations for arch in population]
    assert len(proposed) == len(set(proposed)) == len(PIT.enumerate(window))


def test_objectives_are_needed_and_pymoo_too(monkeypatch):
    with pytest.raises(ValueError, match="'nsga2' needs objectives"):
        next(NSGA2()(PIT, Budget(10)))
    monkeypatch.delitem(sys.modules, "tvtfast.strategies.genomes")
    monkeypatch.setitem(sys.modules, "pymoo.core.crossover", None)
    with pytest.raises(ImportError, match=r"needs pymoo .*pip install 'tvtfast\[evolution\]'"):
        next(NSGA2()(PIT, Budget(10, objectives=OBJECTIVES)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"population": 1}, "population is 1"), ({"mutate_prob": -1}, "mutate_prob must be in")],
)
def test_settings_that_make_no_sense(settings, message):
    with pytest.raises(ValueError, match=message):
        NSGA2(**settings)


def test_search_gives_the_front(tmp_path):
    result = tvtfast.search(
        "pit",
        strategy=NSGA2(population=20),
        trials=60,
        constraints=WINDOW,
        proxies=["weight_norm"],
        img_size=32,
        patch_size=4,
        run_dir=tmp_path,
    )
    frame = result.table.to_pandas()
    assert result.objectives == {"weight_norm": True, "params": False}
    front = frame.loc[list(result.front)]
    assert front["weight_norm"].is_monotonic_decreasing and front["params"].is_monotonic_decreasing
    for _, row in frame.iterrows():
        beaten = (frame["weight_norm"] >= row["weight_norm"]) & (frame["params"] < row["params"])
        assert not (beaten.any() and row["arch"] in set(front["arch"]))
    assert (tmp_path / "front.json").exists()
    page = (tmp_path / "report.html").read_text()
    assert "<h2>Pareto front</h2>" in page and "<h2>Course of the search</h2>" in page
