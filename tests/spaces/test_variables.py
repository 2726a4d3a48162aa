"""Architectures as choices, of every registered space."""

from __future__ import annotations

import itertools
import json
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tvtfast import spaces
from tvtfast.spaces import Condition, Variable

ALL = [spaces.get(name) for name in spaces.available()]
every_space = pytest.mark.parametrize("space", ALL, ids=lambda space: space.name)
seeds = st.integers(min_value=0, max_value=2**32)
TINY, PIT = spaces.get("autoformer-tiny"), spaces.get("pit")


def values_of(space, choices):
    pairs = zip(space.variables, choices, strict=True)
    return {variable.name: variable.choices[index] for variable, index in pairs}


@every_space
@settings(max_examples=20, deadline=None)
@given(seed=seeds)
def test_architectures_come_back_from_their_choices(space, seed):
    arch = space.sample(1, seed)[0]
    choices = space.choices_of(arch)
    assert len(choices) == len(space.variables)
    assert space.from_choices(choices) == space.from_choices(np.array(choices)) == arch
    labels = {
        variable.name: variable.labels[index]
        for variable, index, decided in zip(
            space.variables, choices, space.decided(choices), strict=True
        )
        if decided
    }
    for named in (labels, json.loads(json.dumps(labels)), values_of(space, choices)):
        assert space.from_choices(named) == arch


@every_space
@settings(max_examples=20, deadline=None)
@given(seed=seeds)
def test_every_list_of_choices_is_an_architecture(space, seed):
    rng = random.Random(seed)
    choices = [rng.randrange(len(variable.choices)) for variable in space.variables]
    arch = space.from_choices(choices)
    space.check_inside(arch)
    assert space.from_choices(space.choices_of(arch)) == arch
    moved = [
        index if decided else rng.randrange(len(variable.choices))
        for variable, index, decided in zip(
            space.variables, choices, space.decided(choices), strict=True
        )
    ]
    assert space.from_choices(moved) == arch, "what is not decided counts for nothing"


@every_space
def test_conditions_are_on_variables_that_are_always_decided(space):
    names = {variable.name: variable for variable in space.variables}
    assert len(names) == len(space.variables)
    for variable in space.variables:
        if variable.condition is not None:
            other = names[variable.condition.variable]
            assert other.condition is None
            assert set(variable.condition.values) < set(other.choices)
    free = [variable.name for variable in space.variables if variable.condition is None]
    assert free or space.size == 1


def test_canonical_choices_are_as_many_as_architectures():
    """Lists that differ in what is decided alone are different architectures of AutoFormer."""
    space = replace(TINY, depths=(1, 2, 3), hidden_dims=(192,))
    ranges = [range(len(variable.choices)) for variable in space.variables]
    every = {
        tuple(
            index if decided else 0
            for index, decided in zip(choices, space.decided(choices), strict=True)
        )
        for choices in itertools.product(*ranges)
    }
    assert len(every) == space.size == len(set(map(space.from_choices, every)))
    assert {space.choices_of(arch) for arch in space.enumerate()} == every


def test_blocks_of_deeper_architectures_are_conditional_on_the_depth():
    by_name = {variable.name: variable for variable in TINY.variables}
    assert len(by_name) == 2 + 2 * 14
    assert by_name["num_heads[11]"].condition is None
    assert by_name["num_heads[12]"].condition == Condition("depth", (13, 14))
    assert by_name["mlp_ratio[13]"].condition == Condition("depth", (14,))
    heads = {variable.name: variable for variable in spaces.get("vitas-deit").variables}
    assert heads["qkv_dim[0]"].condition is None
    assert heads["mlp_dim[3]"].condition == Condition("num_heads[3]", (3, 6, 12, 16))
    arch = TINY.from_choices(
        {"hidden_dim": np.int64(216), "depth": np.float64(12.0)}
        | {f"num_heads[{block}]": 4 for block in range(12)}
        | {f"mlp_ratio[{block}]": 4 for block in range(12)}
    )
    assert arch == TINY.decode(spaces.AutoFormerArch(216, 12, (4.0,) * 12, (4,) * 12))
    assert type(arch.depth) is int and type(arch.mlp_ratio[0]) is float


def test_labels_and_order():
    heads = Variable("num_heads", ((2, 2, 2), (2, 4, 8)))
    assert heads.labels == ("(2, 2, 2)", "(2, 4, 8)") and not heads.ordered
    assert Variable("depth", (12, 13)).labels == (12, 13) and Variable("depth", (12, 13)).ordered
    assert not Variable("num_heads", (3, 6, 0)).ordered
    assert PIT.from_choices(
        {"base_dim": 24, "mlp_ratio": 4, "depth": [2, 6, 6], "num_heads": "(2, 4, 8)"}
    ) == spaces.PiTArch(24, 4, (2, 6, 6), (2, 4, 8))


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ([0, 0, 0], "3 indices for 4 variables"),
        ([4, 0, 0, 0], "index 4 of base_dim; allowed: 0 to 3"),
        ([0, 0, 0, -1], "index -1 of num_heads; allowed: 0 to 9"),
        ({"base_dims": 16}, "unknown variable 'base_dims'; known: base_dim, .*did you mean"),
        ({"base_dim": 16}, "no choice of mlp_ratio; give one of 2, 4, 6, 8"),
        ({"base_dim": 17}, "base_dim is 17; allowed: 16, 24, 32, 40"),
        ({"base_dim": True}, "base_dim is True; allowed: 16, 24, 32, 40"),
        ({"base_dim": "16"}, "base_dim is '16'; allowed: 16"),
        ({"base_dim": np.ones(2)}, r"base_dim is \(1.0, 1.0\); allowed: 16"),
    ],
)
def test_choices_that_do_not_fit(choices, message):
    with pytest.raises(ValueError, match=message):
        PIT.from_choices(choices)


def test_a_variable_that_others_call_for_may_not_be_missing():
    choices = dict(values_of(TINY, TINY.choices_of(TINY.sample(1, 0)[0])), depth=14)
    del choices["mlp_ratio[13]"]
    with pytest.raises(ValueError, match=r"no choice of mlp_ratio\[13\]; give one of 3.5, 4.0"):
        TINY.from_choices(choices)
    TINY.from_choices(choices | {"depth": 13})


def test_spaces_that_state_none_say_so():
    class Silent(spaces.PiTSpace):
        variables = spaces.Space.variables

    with pytest.raises(ValueError, match="does not state its variables; .*ChoiceSpace"):
        Silent("silent").from_choices([0])
