"""Growth as a rule over scores: which candidates, which one, and when it ends."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tvtfast import spaces
from tvtfast.growing.rule import GrowthRules, grow_steps

SPACE = spaces.get("asvit")
SEED = SPACE.decode("8,2,3|4,1,2|4,1,4|4,1,6|32")
SMALL = GrowthRules(stop_params=2e7, max_params=3e7)
ONE_STEP = GrowthRules(stop_params=SPACE.params(replace(SEED, width=32)) + 1)


def steps(score, rules=SMALL, topology=SEED, targets=(), **directions):
    return list(
        grow_steps(
            topology,
            rules,
            score=score,
            higher_is_better=directions or {"size": True},
            params=SPACE.params,
            flops=SPACE.flops,
            targets=targets,
        )
    )


def size(archs):
    return {"size": [SPACE.params(arch) for arch in archs]}


def test_candidates_of_the_first_step_and_of_wider_ones():
    rules = GrowthRules()
    start = rules.start(replace(SEED, depths=(5, 2, 5, 2), width=180))
    assert start.depths == (1, 1, 1, 1) and start.width == 8
    found = rules.candidates(start)
    assert {arch.width for arch in found} == {8, 9, 10} and len(found) == len(set(found)) == 12
    assert {arch.depths for arch in found} == {
        tuple(2 if stage == grown else 1 for stage in range(4)) for grown in range(4)
    }
    assert len(rules.candidates(replace(start, width=40))) == 16
    assert rules.model(found[0]) == replace(found[0], width=32)


def test_the_published_step_from_small_to_base_needs_other_ratios():
    """From width 22 to 29 with one block more, which 5 to 20 percent do not reach."""
    small = replace(SEED, depths=(3, 1, 4, 2), width=22)
    base = replace(SEED, depths=(3, 1, 5, 2), width=29)
    assert base not in GrowthRules().candidates(small)
    assert base in GrowthRules(width_ratios=(1.1, 1.2, 1.3, 1.4)).candidates(small)


def test_models_are_counted_at_their_own_width_and_scored_at_a_quarter():
    seen = []
    for step in steps(lambda archs: seen.append(archs) or size(archs)):
        for one in step.candidates:
            assert one.model == replace(one.scored, width=4 * one.scored.width)
            assert one.params == SPACE.params(one.model) and one.flops == SPACE.flops(one.model)
        measured = [one.scored for one in step.candidates if one.params <= 3e7]
        assert seen[step.number] == measured


def test_every_model_has_one_block_more_and_grows_from_the_last():
    found = steps(size)
    assert [step.number for step in found] == list(range(len(found)))
    assert found[0].model.model == replace(SEED, width=32) and found[0].candidates[0].ranks is None
    for before, after in zip(found, found[1:], strict=False):
        assert sum(after.model.scored.depths) == sum(before.model.scored.depths) + 1
        ratio = after.model.scored.width / before.model.scored.width
        assert 1.0 <= ratio <= 1.3
        assert after.model.scored in SMALL.candidates(before.model.scored)


def test_growth_ends_with_the_first_model_that_is_large_enough():
    params = [step.model.params for step in steps(size)]
    assert params == sorted(params) and params[-2] < 2e7 <= params[-1] <= 3e7


def test_growth_ends_where_every_candidate_is_too_large():
    tight = GrowthRules(stop_params=1.25e7, max_params=1.25e7)
    found = steps(lambda archs: {"size": [-SPACE.params(arch) for arch in archs]}, tight)
    assert all(step.model.params <= 1.25e7 for step in found)
    following = tight.candidates(found[-1].model.scored)
    assert all(SPACE.params(tight.model(arch)) > 1.25e7 for arch in following)
    too_large = [one for step in found for one in step.candidates if one.params > 1.25e7]
    assert too_large and all(one.ranks is None and one.rank_sum is None for one in too_large)
    assert not steps(size, GrowthRules(start_width=64, stop_params=1e6, max_params=1e6))


def expected_choice(a, b, paper):
    """By hand: the lower of ``a`` and the higher of ``b`` are better."""
    ranks_a = [sorted(set(a)).index(value) for value in a]
    ranks_b = [sorted(set(b), reverse=True).index(value) for value in b]
    sums = [x + y for x, y in zip(ranks_a, ranks_b, strict=True)]
    tied = [index for index, total in enumerate(sums) if total == min(sums)]
    decides_a = (max(a) - min(a)) / max(a) >= (max(b) - min(b)) / max(b)
    if paper:
        tied = tied[:2]
        return min(tied, key=lambda index: a[index] if decides_a else b[index])
    return min(tied, key=lambda index: a[index] if decides_a else -b[index])


few = st.lists(st.integers(1, 4).map(float), min_size=12, max_size=12)


@settings(max_examples=300, deadline=None)
@given(a=few, b=few, paper=st.booleans())
def test_the_choice_is_the_least_sum_of_ranks_and_ties_break_by_spread(a, b, paper):
    rules = replace(ONE_STEP, paper=paper)
    step = steps(lambda archs: {"a": a, "b": b}, rules, a=False, b=True)[-1]
    assert step.chosen == expected_choice(a, b, paper)
    first = step.candidates[0]
    assert first.ranks["a"] == 1 + sorted(set(a)).index(a[0])
    assert first.rank_sum == sum(first.ranks.values())


def test_the_published_tie_break_takes_the_lower_even_where_higher_is_better():
    a, b = [1.0, 2.0, 3.0] + [9.0] * 9, [10.0, 20.0, 30.0] + [1.0] * 9
    # ranks: a 1, 2, 3; b 3, 2, 1; all sum to 4, and b spreads more
    ours, published = (
        steps(lambda archs: {"a": a, "b": b}, replace(ONE_STEP, paper=p), a=False, b=True)
        for p in (False, True)
    )
    assert ours[1].chosen == 2 and published[0].chosen == 0


def test_candidates_without_a_score_are_not_chosen():
    values = np.arange(12.0)
    values[-1] = math.nan
    _, step = steps(lambda archs: {"size": values}, ONE_STEP)
    assert step.chosen == 10 and step.candidates[11].ranks is None
    with pytest.raises(ValueError, match="no candidate of step 1 has a score in size; pass on_"):
        steps(lambda archs: {"size": [math.nan] * len(archs)})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start_width": 0}, "start_width is 0; give a whole number of at least 1"),
        ({"width_ratios": (0.9,)}, "give some, all 1 or more"),
        ({"tolerance": 1.0}, "tolerance is 1.0; give"),
        ({"stop_params": 2e8}, "stop_params is 200,000,000 and max_params 110,000,000"),
    ],
)
def test_rules_that_make_no_sense(changes, message):
    with pytest.raises(ValueError, match=message):
        GrowthRules(**changes)


def test_what_cannot_grow():
    (arch,) = spaces.get("pit").sample(1, 0)
    with pytest.raises(ValueError, match="a PiTArch has no depths and width to grow"):
        steps(size, topology=arch)
    with pytest.raises(ValueError, match="there is no proxy to grow by"):
        list(
            grow_steps(
                SEED, SMALL, score=size, higher_is_better={}, params=SPACE.params, flops=SPACE.flops
            )
        )


def models(found):
    return sorted(step.model.params for step in found)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), targets=st.lists(st.floats(2.5e6, 25e6), min_size=1, max_size=4))
def test_every_target_is_met(seed, targets):
    """Topologies, scores and targets at random: growth skips no size above its smallest model."""
    rng = random.Random(seed)
    (topology,) = SPACE.sample(1, seed)
    found = steps(
        lambda archs: {"size": [rng.random() for _ in archs]}, GrowthRules(), topology, targets
    )
    for target in targets:
        near = min(abs(params / target - 1) for params in models(found))
        assert near <= 0.05 or target < 0.95 * models(found)[0]


def test_a_target_between_two_steps_has_a_step_of_its_own():
    path = steps(size, replace(SMALL, stop_params=1e7))
    before, after = path[1].model, path[2].model
    target = math.sqrt(before.params * after.params)
    assert after.params / before.params > 1.2, "the case needs a gap"
    found = steps(size, replace(SMALL, stop_params=1e7), targets=[target])
    (finer,) = [step for step in found if step.target is not None]
    assert [step for step in found if step is not finer] == path, "growth goes on as without it"
    assert finer.number == 2 and abs(finer.model.params / target - 1) <= 0.05
    for one in finer.candidates:
        blocks = [
            after - old for after, old in zip(one.model.depths, before.model.depths, strict=True)
        ]
        assert sorted(blocks) in ([0, 0, 0, 0], [0, 0, 0, 1])
        assert one.model.width >= before.model.width
        assert one.scored == replace(one.model, width=round(one.model.width / 4))
    met = [one for one in finer.candidates if abs(one.params / target - 1) <= 0.05]
    assert len(met) > 1 and all(one.ranks is not None for one in met)
    assert finer.model == max(met, key=lambda one: SPACE.params(one.scored)), "the score decides"


def test_growth_ends_with_the_largest_target():
    found = steps(size, GrowthRules(), targets=[3e6, 6e6])
    path = [step.model.params for step in found if step.target is None]
    assert path[-2] < 0.95 * 6e6 <= path[-1], "no step goes on from where the target is reached"
    assert steps(size, GrowthRules(), targets=[1e6, 2.1e6]) == steps(size, ONE_STEP)[:1]
    further = steps(size, GrowthRules(stop_params=2e7), targets=[3e6, 6e6])
    assert models(further)[-1] >= 2e7, "stop_params is an order of its own"


def test_as_published_growth_knows_no_target():
    rules = GrowthRules(max_params=3e7, paper=True)
    assert steps(size, rules, targets=[6e6]) == steps(size, rules)
    plain = steps(size, GrowthRules(max_params=3e7))
    assert steps(size, rules) == plain[1:], "the topology itself is no model of theirs"


def test_the_nearest_model_is_taken_where_none_is_near_enough():
    target = 1.5 * SPACE.params(replace(SEED, width=32))
    found = steps(size, GrowthRules(tolerance=1e-9), targets=[target])
    finer = next(step for step in found if step.target == target)
    scored = [one for one in finer.candidates if one.ranks is not None]
    assert scored == [min(finer.candidates, key=lambda one: abs(math.log(one.params / target)))]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (0.0, "target_params is 0.0; give a number above 0"),
        (4e7, "target_params is 40,000,000 and max_params 30,000,000; raise max_params"),
    ],
)
def test_targets_that_no_model_can_have(target, message):
    with pytest.raises(ValueError, match=message):
        steps(size, targets=[target])
