"""Growth on paper: candidates of every step, before any is scored."""

from __future__ import annotations

import statistics

from tvtfast import spaces
from tvtfast.growing import GrowthRules, on_paper
from tvtfast.growing.rule import grow_steps

SPACE = spaces.get("asvit")
SEED = SPACE.decode("8,2,3|4,1,2|4,1,4|4,1,6|32")
RULES = GrowthRules(stop_params=3e7)


def real(score):
    """Steps of a growth, and candidates that each of them scores for the first time."""
    known, scored = set(), []

    def asked(archs):
        scored.append([arch for arch in dict.fromkeys(archs) if arch not in known])
        known.update(archs)
        return {"score": [score(arch) for arch in archs]}

    counts = {"params": SPACE.params, "flops": SPACE.flops}
    directions = {"score": True}
    steps = list(grow_steps(SEED, RULES, score=asked, higher_is_better=directions, **counts))
    return steps, [new for new in scored if new]


def candidates(steps):
    return sum(map(len, steps))


def test_it_lists_what_a_growth_scores_and_nothing_twice():
    steps = on_paper(SEED, SPACE, RULES, seed=3)
    listed = [arch for step in steps for arch in step]
    assert len(listed) == len(set(listed)) and len(steps[0]) == 1
    assert max(SPACE.params(RULES.model(arch)) for arch in steps[-1]) >= 3e7
    assert steps == on_paper(SEED, SPACE, RULES, seed=3)
    assert steps != on_paper(SEED, SPACE, RULES, seed=4)


def test_it_grows_as_the_steps_it_was_shown():
    """Growth that deepens the last stage and widens all it can needs the fewest steps, growth that
    deepens the first and widens as little as it can the most."""
    fast, of_fast = real(lambda arch: arch.depths[-1] * 1000 + arch.width)
    slow, of_slow = real(lambda arch: arch.depths[0] * 1000 - arch.width)
    assert candidates(of_fast) < candidates(of_slow)

    def median(like):
        drawn = (on_paper(SEED, SPACE, RULES, like=like, seed=seed) for seed in range(15))
        return statistics.median(candidates(steps) for steps in drawn)

    blind = median(())
    assert median(fast[1:]) < blind < median(slow[1:10])
    assert abs(median(fast[1:]) / candidates(of_fast) - 1) < 0.25
