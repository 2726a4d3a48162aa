"""Scores of a space of one's own are those of its model as it is defined."""

from __future__ import annotations

from dataclasses import replace

import pytest

import tvtfast
from tvtfast import spaces
from tvtfast.models import AutoFormer
from tvtfast.scoring.own_space import space_definition
from tvtfast.scoring.store import ScoreStore
from tvtfast.spaces import AutoFormerArch

CHOICES = {"hidden_dim": (12,), "depth": (1,), "mlp_ratio": ((1.0,), (2.0,)), "num_heads": ((3,),)}
SIZE = {"img_size": 16, "patch_size": 8, "num_classes": 4}
FAMILY = replace(spaces.get("autoformer-tiny"), name="family")


def plain(arch, space, options):
    return AutoFormer(arch, FAMILY, options)


def without_a_norm(arch, space, options):
    model = AutoFormer(arch, FAMILY, options)
    model.blocks[0].attn.qkv = model.blocks[0].attn.qkv.bfloat16().float()
    return model


def own(model, choices=CHOICES):
    return tvtfast.ChoiceSpace("own", AutoFormerArch, choices, model)


def scored(space, store):
    table = tvtfast.score(
        space.sample(2, 0), space=space, proxies=("weight_norm",), store=store, **SIZE
    )
    return len(store), table["weight_norm"].tolist()


def test_a_changed_model_under_the_same_name_finds_no_scores_of_the_old_one():
    store = ScoreStore()
    count, values = scored(own(plain), store)
    assert scored(own(plain), store) == (count, values)
    assert scored(own(without_a_norm), store)[0] == 2 * count


@pytest.mark.parametrize("choices", [CHOICES | {"hidden_dim": (12, 24)}])
def test_choices_are_part_of_a_definition(choices):
    assert space_definition(own(plain)) != space_definition(own(plain, choices))


def test_fields_of_a_family_are_part_of_it_and_spaces_of_tvtfast_are_known_by_name():
    assert space_definition(spaces.get("autoformer-tiny")) is None
    others = [FAMILY, replace(FAMILY, relative_position=True)]
    assert len({space_definition(space) for space in others}) == 2
    assert space_definition(replace(FAMILY)) == space_definition(FAMILY)
