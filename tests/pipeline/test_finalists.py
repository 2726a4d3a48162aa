"""Who takes part in a tournament, against slow choices written down anew."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import tvtfast
from tvtfast.pipeline.baseline import described_deit_like
from tvtfast.pipeline.finalists.choosing import Field, choose_finalists, propose
from tvtfast.spaces import AutoFormerArch, ModelOptions


@pytest.fixture(scope="module")
def field(contest):
    table = contest.table()
    budget = float(np.sort(table["params"])[20])
    return Field(table, contest.SPACE, ModelOptions.of(**contest.OPTIONS), budget)


def test_the_picks_of_a_user_are_always_among_them(field):
    found, left_out = choose_finalists(field, 8)
    assert len(found) == 8 and not left_out
    inside = [row for row in range(len(field.table)) if field.table["params"][row] <= field.budget]
    assert all(one.params <= field.budget for one in found)
    by_role = {role: one for one in found for role in one.roles if role != "diverse"}
    score = tvtfast.rank(field.table)
    assert by_role["params"].params == max(field.table["params"][inside])
    assert by_role["score"].row == max(inside, key=lambda row: score[row])
    for proxy in ("weight_norm", "l2_norm"):
        best = max(inside, key=lambda row: field.table[proxy][row])
        assert field.table[proxy][by_role[proxy].row] == field.table[proxy][best]
    assert by_role["default"].row is None and found[0] is by_role["default"]
    assert len({one.name for one in found}) == len({one.row for one in found}) == 8
    for one in found[1:]:
        assert one.described["arch"] == field.space.to_dict(field.table.candidates[one.row])


def test_others_are_unlike_all_before(field):
    """Farthest-first traversal, by all distances."""
    found, _ = choose_finalists(field, 9)
    taken = [one.row for one in found if one.row is not None and one.roles != ("diverse",)]
    diverse = [one.row for one in found if one.roles == ("diverse",)]
    assert diverse
    frame = field.table.features.assign(size=np.log(field.table["params"]))
    inside = frame[field.table["params"] <= field.budget]
    spread = inside.std(ddof=0).replace(0.0, 1.0)
    places = ((frame - inside.mean()) / spread).to_numpy()
    score = tvtfast.rank(field.table)[inside.index].sort_values(ascending=False, kind="stable")
    good = score.index[: int(np.ceil(len(score) / 2))]
    for row in diverse:
        nearest = {
            other: min(np.linalg.norm(places[other] - places[one]) for one in taken)
            for other in good
            if other not in taken
        }
        assert nearest[row] == pytest.approx(max(nearest.values()), rel=1e-12)
        taken.append(row)


def test_a_pick_without_a_place_is_named(field):
    found, left_out = choose_finalists(field, 4)
    roles = set(itertools.chain.from_iterable(one.roles for one in found))
    assert {"default", "params", "score"} <= roles
    assert set(left_out) == {"weight_norm", "l2_norm"} - roles


def test_too_few_candidates_are_refused(field):
    inside = int((field.table["params"] <= field.budget).sum())
    with pytest.raises(ValueError, match=f"finalists is 40, and {inside} candidates of the table"):
        choose_finalists(field, 40)


def test_the_default_is_the_largest_that_the_budget_allows(field):
    options = {"num_classes": 10, "img_size": 32, "patch_size": 8}
    space = tvtfast.spaces.get("autoformer-tiny")
    for budget in (3e5, 1e6, 5.7e6):
        found = described_deit_like(budget, **options)
        arch = space.decode(found["arch"])
        assert found["params"] == space.params(arch, **options) <= budget
        heads = arch.num_heads[0]
        width = arch.hidden_dim + heads
        wider = AutoFormerArch(width, 12, (4.0,) * 12, (heads,) * 12)
        assert space.params(wider, **options) > budget
    found = described_deit_like(3e5, **options)
    built = tvtfast.build(found["arch"], space=found["space"], **found["model_options"])
    assert sum(one.numel() for one in built.parameters()) == found["params"]
    with pytest.raises(ValueError, match="budget is 1000 parameters, and the narrowest"):
        described_deit_like(1000, **options)


def test_a_default_that_the_table_has_takes_part_once():
    space = tvtfast.spaces.get("autoformer-tiny")
    options = {"num_classes": 10, "img_size": 32, "patch_size": 8}
    default = described_deit_like(6e6, **options)
    archs = [space.decode(default["arch"]), *space.sample(8, 0, {"params": (5e6, 6e6)}, **options)]
    table = tvtfast.score(archs, space=space, proxies=("params",), **options)
    found, _ = choose_finalists(Field(table, space, ModelOptions.of(**options), 6e6), 4)
    assert len(found) == 4
    assert [one.row for one in found if "default" in one.roles] == [0]


def test_proposals_are_new_inside_the_budget_and_no_more_than_there_are(field):
    taken, _ = choose_finalists(field, 8)
    depth = field.table.features["depth"]
    rows = [one.row for one in taken if one.row is not None]
    learnt = tvtfast.calibrate(field.table, {row: 50 + 5 * depth[row] for row in rows})
    found = propose(field, learnt, taken, 4)
    assert len(found) == 4 and not {one.row for one in found} & set(rows)
    assert all(one.params <= field.budget and one.roles == ("proposed",) for one in found)
    assert not {one.name for one in found} & {one.name for one in taken}
    everyone = propose(field, learnt, taken, 100)
    assert len(everyone) == (field.table["params"] <= field.budget).sum() - len(rows)
    assert propose(field, learnt, (*taken, *everyone), 2) == ()
