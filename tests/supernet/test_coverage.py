"""What training draws is what a search asks for, and a candidate that it missed is marked."""

from __future__ import annotations

import itertools
import logging
import random
from pathlib import Path

import pytest

import tvtfast
from tvtfast import spaces
from tvtfast.common.normalization import Normalization
from tvtfast.spaces import ModelOptions, VitasDeitArch
from tvtfast.supernet import (
    Coverage,
    InheritedAccuracy,
    Subnets,
    Superformer,
    SuperformerCard,
    TrainedSuperformer,
    fit_identity_probability,
    subnets_of,
)
from tvtfast.supernet.coverage import Tally

VITAS = ("vitas-deit", "vitas-deit-cell", "vitas-deit-large", "vitas-twins")
BUDGET = (0.0, 2.6e9)


@pytest.fixture(scope="module")
def own(load_program):
    return load_program(Path(__file__).with_name("own_space.py"))


def share_of_slot(archs, slot):
    return sum(arch.depth >= slot for arch in archs) / len(archs)


def test_deep_blocks_are_trained_as_often_as_they_are_searched():
    """By the mean cost alone slots 13 and 16 were in 1 and 0 of 100 steps."""
    space = spaces.get("vitas-deit")
    searched = space.sample(2000, 5, {"flops": BUDGET})
    plain = Subnets(space, 0, flops=BUDGET, least_share=0.0)
    trained = [plain(step) for step in range(2000)]
    for slot in (8, 13, 16):
        found, asked = share_of_slot(trained, slot), share_of_slot(searched, slot)
        assert found == pytest.approx(asked, abs=0.03), slot
    assert share_of_slot(trained, 16) > 0.03
    probability = fit_identity_probability(space, BUDGET)
    published = Subnets(space, 0, probability, least_share=0.0)
    assert share_of_slot([published(step) for step in range(2000)], 15) == 0
    shared = Subnets(space, 0, probability)
    assert share_of_slot([shared(step) for step in range(2000)], 16) > 0.03


@pytest.mark.parametrize("name", VITAS)
def test_every_value_has_its_turn(name):
    space = spaces.get(name)
    subnets = Subnets(space, 3, least_share=0.5)
    values = subnets.values
    assert len(values) == len(set(values)) > 20
    archs = [subnets(step) for step in range(1, 2 * len(values), 2)]
    for arch in archs:
        space.validate(arch)
    due = list(values)
    random.Random("turn:3:0").shuffle(due)
    for arch, (decision, value) in zip(archs, due, strict=True):
        assert space.decisions(arch)[decision] == value
    second = list(values)
    random.Random("turn:3:1").shuffle(second)
    again = subnets(2 * len(values) + 1)
    assert space.decisions(again)[second[0][0]] == second[0][1]


@pytest.mark.parametrize("share", (0.0, 0.2, 0.3, 0.75))
def test_the_share_of_reserved_steps(small, share):
    subnets = Subnets(small.DEIT, 0, least_share=share)
    plain = Subnets(small.DEIT, 0, least_share=0.0)
    turns = [step for step in range(1000) if subnets._reserved(step) is not None]
    assert len(turns) == round(1000 * share)
    assert [subnets._reserved(step) for step in turns] == list(range(len(turns)))
    others = [step for step in range(200) if step not in set(turns)]
    assert all(subnets(step) == plain(step) for step in others)


@pytest.mark.parametrize("name", VITAS)
def test_decisions_are_the_stated_ones(name):
    space = spaces.get(name)
    values = space.decision_values()
    rng = random.Random(1)
    for arch in itertools.chain(space.largest(), (space.draw(rng) for _ in range(50))):
        decided = space.decisions(arch)
        assert all(value in values[decision] for decision, value in decided.items())
    assert decided.keys() <= values.keys()


def test_a_space_that_states_no_decisions_has_those_of_its_genes(own):
    space = own.SPACE
    values = space.decision_values()
    assert set(values["gene 0[0]"]) == set(own.WIDTHS)
    assert {name for name in values if name != "gene 0[0]"} == {
        f"gene 0[{place}]" for place in (1, 2, 3)
    }
    deep = space.draw_deciding(random.Random(0), "gene 0[3]", 2)
    assert deep.depth == 3
    with pytest.raises(ValueError, match=r"none of 100,000 .* has gene 0\[3\] = 7; implement"):
        space.draw_deciding(random.Random(0), "gene 0[3]", 7)


def test_draws_lie_inside_the_window(small):
    options = ModelOptions(**small.OPTIONS, num_classes=5)
    costs = sorted(
        small.DEIT.flops_of(small.DEIT.draw(random.Random(s)), options) for s in range(99)
    )
    window = (costs[40], costs[60])
    subnets = subnets_of(small.DEIT, 0, options, flops=window)
    found = [subnets(step) for step in range(60)]
    inside = [window[0] <= small.DEIT.flops_of(arch, options) <= window[1] for arch in found]
    reserved = [subnets._reserved(step) is not None for step in range(60)]
    assert all(one for one, turn in zip(inside, reserved, strict=True) if not turn)
    assert len(set(found)) > 30
    twin = Subnets(small.DEIT, 0, flops=window, options=options)
    assert twin == subnets and [twin(step) for step in reversed(range(60))] == found[::-1]


def test_a_value_that_the_window_excludes_is_trained_nearest_to_it(small):
    """No subnet of a single block costs what two of the largest cost."""
    options = ModelOptions(**small.OPTIONS, num_classes=5)
    least, most = small.DEIT.feasible_range("flops", **small.OPTIONS, num_classes=5)
    subnets = Subnets(small.DEIT, 0, flops=(0.97 * most, most), options=options)
    narrow = subnets._inside(
        lambda: small.DEIT.draw_deciding(random.Random(0), "embed_dim", 12), 50
    )
    assert narrow.embed_dim == 12 and least < small.DEIT.flops_of(narrow, options) < 0.97 * most


def test_windows_that_no_training_can_draw_from(small):
    options = ModelOptions(**small.OPTIONS, num_classes=5)
    with pytest.raises(ValueError, match=r"0 of 2,000 random subnets .*space spans .*widen the"):
        subnets_of(small.DEIT, 0, options, flops=(0, 1e4))
    with pytest.raises(ValueError, match="is empty"):
        subnets_of(small.DEIT, 0, options, flops=(2, 1))
    with pytest.raises(ValueError, match="there is no window; give flops"):
        subnets_of(small.DEIT, 0, options, flops=None, window_of="mean")
    with pytest.raises(ValueError, match="window_of is 'all'; allowed: each, mean"):
        subnets_of(small.DEIT, 0, options, flops=None, window_of="all")
    with pytest.raises(ValueError, match="give one of the two"):
        Subnets(small.DEIT, 0, 0.5, flops=(0, 1))
    with pytest.raises(ValueError, match="least_share is 1"):
        Subnets(small.DEIT, 0, least_share=1.0)


def test_steps_are_counted_by_value(small):
    subnets = Subnets(small.DEIT, 4)
    tally = Tally(subnets)
    for step in range(30):
        tally.add(step, subnets(step))
    archs = [subnets(step) for step in range(30)]
    assert tally.steps["patch_size"] == {
        str(patch): sum(arch.patch_size == patch for arch in archs) for patch in (14, 16, 32)
    }
    assert sum(tally.steps["num_heads[1]"].values()) == sum(arch.depth == 2 for arch in archs)
    continued = Tally(subnets)
    for step in range(20, 30):
        continued.add(step, subnets(step))
    assert continued.steps == tally.steps


def trained(small, steps):
    model = Superformer(small.DEIT, num_classes=10, **small.OPTIONS).eval()
    card = SuperformerCard(
        space=small.DEIT.name,
        model_options={},
        sharing="cyclic",
        qkv_mode=2,
        identity_probability=None,
        reference={},
        normalization=Normalization((0.5,) * 3, (0.5,) * 3),
        classes=None,
        dataset="digits",
        accuracy=0.0,
        recipe={},
        steps_per_choice=steps,
    )
    return TrainedSuperformer(model, card)


def test_a_candidate_of_a_hardly_trained_part_is_marked(small, caplog):
    steps = Tally(Subnets(small.DEIT, 0)).steps
    for values in steps.values():
        values.update(dict.fromkeys(values, 100))
    steps["num_heads[1]"] = {"2": 3, "3": 100}
    coverage = Coverage(small.DEIT, steps)
    shallow, starved, fed = (
        [
            VitasDeitArch(patch, 12, heads, (36,) * len(heads), (20,) * len(heads))
            for patch in (14, 16)
        ]
        for heads in ((2,), (3, 2), (2, 3))
    )
    assert list(map(coverage.least, (*shallow, *starved, *fed))) == [100, 100, 3, 3, 100, 100]
    assert coverage.hardly(fed[0]) == ()
    assert coverage.hardly(starved[0]) == (
        "num_heads[1] = 2 (3 steps; the mean of num_heads is 76)",
    )

    score = InheritedAccuracy(trained(small, steps), small.part("test", 20))
    caplog.set_level(logging.WARNING, logger="tvtfast")
    archs = [*shallow, *starved, *fed]
    table = tvtfast.score(
        archs, space=small.DEIT, proxies=[score.proxy()], num_classes=10, **small.OPTIONS
    )
    frame = table.to_pandas()
    assert frame["trained_steps"].tolist() == [100, 100, 3, 3, 100, 100]
    assert frame["hardly_trained"].tolist() == [0, 0, 1, 1, 0, 0]
    assert table.scored == ("inherited_accuracy",)
    assert list(score.of_many(archs))
    limited = tvtfast.score(
        archs,
        space=small.DEIT,
        proxies=[score.proxy()],
        constraints={"trained_steps": (10, None)},
        num_classes=10,
        **small.OPTIONS,
    )
    assert limited.status["trained_steps"].tolist() == ["ok"] * 2 + ["infeasible"] * 2 + ["ok"] * 2
    warned = [record.getMessage() for record in caplog.records if "hardly" in record.getMessage()]
    assert len(warned) == 1 and "num_heads[1] = 2 (3 steps" in warned[0]


def test_a_superformer_whose_steps_were_not_counted_marks_nothing(small):
    score = InheritedAccuracy(trained(small, None), small.part("test", 20))
    table = tvtfast.score(
        small.DEIT.sample(2, 0),
        space=small.DEIT,
        proxies=[score.proxy()],
        num_classes=10,
        **small.OPTIONS,
    )
    assert "trained_steps" not in table.to_pandas()
