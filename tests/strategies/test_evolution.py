"""Evolution: what it may propose, how often, and that selection works."""

from __future__ import annotations

import math
from statistics import mean

import pytest

import tvtfast
from tvtfast import spaces
from tvtfast.proxies import Proxy
from tvtfast.strategies import Budget, Evolution

PIT, TINY = spaces.get("pit"), spaces.get("autoformer-tiny")
WINDOWS = {"pit": (2e6, 6e6), "autoformer-tiny": (5e6, 7e6)}


def budget(space, trials, **changes):
    return Budget(trials, {"params": WINDOWS[space.name]}, **changes)


@pytest.mark.parametrize("space", [PIT, TINY], ids=["pit", "autoformer-tiny"])
def test_generations_are_new_and_inside_the_constraints(drive, space):
    populations, answer = drive(Evolution()(space, budget(space, 220)), space.params)
    assert [len(population) for population in populations] == [50, 50, 50, 50, 20]
    proposed = [arch for population in populations for arch in population]
    assert len(set(proposed)) == 220 and answer is None
    assert all(space.satisfies(arch, {"params": WINDOWS[space.name]}) for arch in proposed)


def test_selection_climbs(drive):
    """Later generations come from the best that was seen, so they are better than draws."""
    populations, _ = drive(Evolution()(TINY, budget(TINY, 250)), TINY.params)
    means = [mean(map(TINY.params, population)) for population in populations]
    assert means[0] < means[1] < min(means[2:])
    found = max(TINY.params(arch) for population in populations for arch in population)
    drawn = TINY.sample(250, 0, {"params": WINDOWS["autoformer-tiny"]})
    assert found >= max(map(TINY.params, drawn))


def test_seed_decides_and_shorter_searches_are_prefixes(drive):
    runs = [
        drive(Evolution()(TINY, budget(TINY, trials, seed=seed)), TINY.params)[0]
        for trials, seed in ((150, 3), (150, 3), (100, 3), (150, 4))
    ]
    assert runs[0] == runs[1] != runs[3]
    assert runs[2] == runs[0][:2]


def test_a_space_that_runs_out_ends_the_search(drive):
    window = {"params": (2.0e6, 2.3e6)}
    everything = PIT.enumerate(window)
    assert 10 < len(everything) < 100
    populations, _ = drive(Evolution(population=10)(PIT, Budget(1000, window)), PIT.params)
    proposed = [arch for population in populations for arch in population]
    assert sorted(map(str, proposed)) == sorted(map(str, everything))


def test_without_any_score_draws_go_on(drive):
    populations, _ = drive(Evolution(population=20)(PIT, budget(PIT, 60)), lambda arch: math.nan)
    assert len({arch for population in populations for arch in population}) == 60


def test_nothing_inside_the_constraints():
    for space in (PIT, TINY):
        with pytest.raises(tvtfast.InfeasibleError, match="the space spans params"):
            next(Evolution()(space, Budget(10, {"params": (1, 2)})))


def test_sharper_tournaments_leave_fewer_parents(drive):
    """With no mutation at all, children show who the parents were: here mutants equal a parent and
    are refused, so every child is a cross of two parents."""
    sharp = Evolution(population=20, parents=20, mutations=0, crossovers=10, tournament=400)
    populations, _ = drive(sharp(TINY, budget(TINY, 40)), TINY.params)
    best = max(populations[0], key=TINY.params)
    # 400 draws out of 20 miss the best with probability (19/20)^400 < 1e-8: both parents are the
    # best, whose cross with itself is known already, so draws fill the generation
    drawn, _ = drive(Evolution(20, 1, 0, 0)(TINY, budget(TINY, 40)), TINY.params)
    assert best in populations[0] and populations[1] == drawn[1]


def test_size_is_mutated_with_a_probability_of_its_own():
    (arch,) = TINY.sample(1, 0)
    mutants = [TINY.mutate(arch, seed, prob=0.0, size_prob=1.0) for seed in range(20)]
    assert len({(mutant.depth, mutant.hidden_dim) for mutant in mutants}) > 3
    for mutant in mutants:
        kept = min(arch.depth, mutant.depth)
        assert mutant.mlp_ratio[:kept] == arch.mlp_ratio[:kept]
        assert mutant.num_heads[:kept] == arch.num_heads[:kept]
    same_size = [TINY.mutate(arch, seed, prob=1.0, size_prob=0.0) for seed in range(5)]
    assert {(other.depth, other.hidden_dim) for other in same_size} == {
        (arch.depth, arch.hidden_dim)
    }
    with pytest.raises(ValueError, match=r"size_prob must be in \[0, 1\], got 2"):
        TINY.mutate(arch, size_prob=2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"population": 0}, "population is 0; give 1 or more"),
        ({"parents": 0}, "parents is 0"),
        ({"mutate_prob": 1.5}, r"mutate_prob must be in \[0, 1\]"),
        ({"population": 40, "crossovers": 25}, "together at most the population of 40"),
        ({"mutations": -1}, "mutations is -1"),
    ],
)
def test_settings_that_make_no_sense(settings, message):
    with pytest.raises(ValueError, match=message):
        Evolution(**settings)


def test_a_search_scores_nothing_twice_and_compares_generations_on_one_scale():
    calls = []
    proxy = Proxy("size", lambda inputs: calls.append(1) or float(inputs.params))
    result = tvtfast.search(
        "pit",
        strategy=Evolution(population=10, parents=3, mutations=5, crossovers=4),
        trials=40,
        proxies=[proxy],
    )
    assert len(calls) == len(result.table) == result.evaluated == 40
    assert list(result.trace["evaluations"]) == [10, 20, 30, 40]
    best = result.trace["best"]
    assert best.is_monotonic_increasing and best.iloc[-1] == result.scores.max() == 1.0
    assert result.trace["mean"].iloc[0] == pytest.approx(result.scores[:10].mean())
