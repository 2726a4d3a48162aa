"""The best of a budget, against listing everything."""

from __future__ import annotations

import itertools
import random
import time
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tvtfast
from tvtfast import spaces
from tvtfast.proxies import Proxy
from tvtfast.spaces import AutoFormerArch, AutoFormerSpace, ModelOptions
from tvtfast.strategies import Budget, exact

OPTIONS = {"img_size": 32, "patch_size": 16, "num_classes": 10}
PLAIN = AutoFormerSpace("small", (192, 216), (2, 3), (3.5, 4.0), (3, 4))
RELATIVE = AutoFormerSpace("small-relative", (192, 216), (2, 3), (3.5, 4.0), (3, 4), True)
WINDOWS = [
    {},
    {"params": (1.2e6, 1.6e6)},
    {"flops": 1.1e7},
    {"params": (1.1e6, None), "flops": (None, 1.4e7)},
]


def listed(space):
    for dim, depth in itertools.product(space.hidden_dims, space.depths):
        for ratios in itertools.product(space.mlp_ratios, repeat=depth):
            for heads in itertools.product(space.head_counts, repeat=depth):
                yield AutoFormerArch(dim, depth, ratios, heads)


def score_of(space, values, arch):
    steps = space._steps(arch, ModelOptions.of(**OPTIONS))
    return sum(Fraction(values[step]) for step in steps)


def best_values(space, values, window, count):
    """Scores of the best architectures, by listing all of them; exact sums."""
    found = []
    for arch in listed(space):
        if space.satisfies(arch, window, **OPTIONS):
            found.append(score_of(space, values, arch))
    return sorted(found, reverse=True)[:count]


def of_exact(space, values, window, count):
    budget = Budget(count, window, 0, OPTIONS, lambda steps: [values[step] for step in steps])
    (population,) = exact(space, budget)
    return population


def test_skeletons_are_the_space():
    for space in (PLAIN, RELATIVE):
        built = [
            skeleton.build([choice for choice, _ in filled])
            for skeleton in space.skeletons(**OPTIONS)
            for filled in itertools.product(*skeleton.slots)
        ]
        assert len(built) == space.size and set(built) == set(listed(space))
        for skeleton in space.skeletons(**OPTIONS):
            filled = [random.Random(0).choice(slot) for slot in skeleton.slots]
            arch = skeleton.build([choice for choice, _ in filled])
            steps = {*skeleton.fixed, *(step for _, step in filled)}
            assert steps == set(space._steps(arch, ModelOptions.of(**OPTIONS)))


@pytest.mark.parametrize("space", [PLAIN, RELATIVE], ids=lambda space: space.name)
@pytest.mark.parametrize("window", WINDOWS, ids=str)
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6), whole=st.booleans(), count=st.sampled_from([1, 7, 1000]))
def test_equals_listing(space, window, seed, whole, count):
    """Whole numbers make ties, fractions rounding; both signs."""
    rng = random.Random(seed)
    steps = space.paths(listed(space), **OPTIONS).steps
    values = {step: float(rng.randint(-2, 2)) if whole else rng.gauss(0, 1) for step in steps}
    population = of_exact(space, values, window, count)
    assert len(set(population)) == len(population)
    assert all(space.satisfies(arch, window, **OPTIONS) for arch in population)
    scores = [score_of(space, values, arch) for arch in population]
    assert scores == best_values(space, values, window, count)
    assert population == of_exact(space, values, window, count)


def test_fewer_than_asked_for():
    values = dict.fromkeys(PLAIN.paths(listed(PLAIN), **OPTIONS).steps, 1.0)
    least, _ = PLAIN.feasible_range("params", **OPTIONS)
    population = of_exact(PLAIN, values, {"params": least}, 50)
    assert len(population) == 4, "head counts of both blocks change no parameter count"


def test_spaces_without_slots_are_listed():
    window = {"params": (4.0e6, 4.2e6)}
    result = tvtfast.search(
        "pit", strategy="exact", trials=3, proxies=["weight_norm"], constraints=window, **OPTIONS
    )
    everything = tvtfast.search("pit", proxies=["weight_norm"], constraints=window, **OPTIONS)
    order = everything.order[:3]
    assert [everything.table.candidates[row] for row in order] == result.table.candidates
    assert result.best == everything.best


@pytest.mark.parametrize(
    ("name", "trials"), [("autoformer-tiny", 2000), ("autoformer-original-tiny", 300)]
)
def test_no_sample_beats_it_on_a_full_space(name, trials):
    space = spaces.get(name)
    window = {"params": (5e6, 7e6)}
    started = time.perf_counter()
    arguments = {"proxies": ["weight_norm"], "constraints": window, "init_seeds": 2, **OPTIONS}
    result = tvtfast.search(space, strategy="exact", **arguments)
    assert time.perf_counter() - started < 60
    assert len(result.table) == 10
    drawn = tvtfast.search(space, strategy="random", trials=trials, **arguments)
    best = result.table.to_pandas()["weight_norm"]
    assert best.is_monotonic_decreasing and best[result.best_row] == best.max()
    assert best[0] > drawn.table.to_pandas()["weight_norm"].max()


def test_lower_is_better_and_own_proxies():
    thrift = Proxy(
        "sparse", lambda inputs: 0.0, higher_is_better=False, per_step=lambda step: step.macs
    )
    result = tvtfast.search(PLAIN, strategy="exact", trials=2, proxies=[thrift], **OPTIONS)
    least, _ = PLAIN.feasible_range("flops", **OPTIONS)
    assert PLAIN.flops(result.best, **OPTIONS) == least


def test_baselines_beside_the_proxy_are_not_ranked():
    both = ["params", "weight_norm"]
    result = tvtfast.search(PLAIN, strategy="exact", proxies=both, **OPTIONS)
    assert len(result.table) == 10 and result.table.scored == ("weight_norm",)


def test_baselines_alone_are_proxies_too():
    result = tvtfast.search(PLAIN, strategy="exact", trials=1, proxies=["params"], **OPTIONS)
    _, most = PLAIN.feasible_range("params", **OPTIONS)
    assert result.describe_best()["params"] == most
    assert result.table.scored == ("params",)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"constraints": {"params": (1, 2)}}, tvtfast.InfeasibleError, r"space spans params in \["),
        (
            {"constraints": {"params": (1_000_000, 1_000_001)}},
            tvtfast.InfeasibleError,
            "no architecture of 'small' has params in .1,000,000, 1,000,001.; the space spans",
        ),
        ({"proxies": ["params", "flops"]}, ValueError, "the proxies are params, flops"),
        (
            {"proxies": [Proxy("mine", lambda inputs: 1.0)]},
            ValueError,
            r"the proxies are mine \(not a sum over layers\)",
        ),
        ({"protocol": "paper"}, ValueError, "choose protocol 'fixed'"),
        ({"trials": 0}, ValueError, "trials is 0"),
    ],
)
def test_what_it_cannot_serve(changes, error, message):
    arguments = {"strategy": "exact", "proxies": ["weight_norm"], **OPTIONS, **changes}
    with pytest.raises(error, match=message):
        tvtfast.search(PLAIN, **arguments)


def test_scores_scaled_over_a_population_are_refused():
    batch = tvtfast.data.frozen_batch("digits", 2)
    teacher = tvtfast.load_teacher(
        tvtfast.initialize_(tvtfast.models.CifarResNet(8, 10)), input_size=32
    )
    with pytest.raises(ValueError, match=r"tvt \(scaled over a population\)"):
        tvtfast.search(
            PLAIN, strategy="exact", proxies=["tvt"], images=batch, teacher=teacher, patch_size=16
        )


def test_summands_must_be_finite():
    broken = Proxy("broken", lambda inputs: 0.0, per_step=lambda step: float("inf"))
    with pytest.raises(ValueError, match="needs finite summands"):
        tvtfast.search(PLAIN, strategy="exact", proxies=[broken], **OPTIONS)
