"""The ViTAS space over Twins."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tvtfast import spaces

TWINS = spaces.get("vitas-twins")


def test_every_width_splits_into_every_number_of_heads():
    for stage in TWINS.stages:
        for qkv in stage.qkv_dims:
            assert all(qkv % (3 * heads) == 0 for heads in stage.head_counts)


def test_size_counts_canonical_forms():
    small = spaces.VitasTwinsSpace(
        "small", (spaces.StageChoices((8,), 2, ("global",), (1,), (12, 24), (8,)),) * 4
    )
    assert small.size == (2 + 4) ** 4
    choices = itertools.product(*(range(len(variable.choices)) for variable in small.variables))
    assert set(map(small.from_choices, choices)) == set(small.enumerate())
    assert len(small.enumerate()) == small.size


@given(seed=st.integers(0, 2**32))
def test_identities_anywhere_in_a_stage_are_one_architecture(seed):
    rng = random.Random(seed)
    arch = TWINS.draw(rng)
    values = list(TWINS.choices_of(arch))
    genes = iter(values[4:])
    moved = values[:4]
    for stage in TWINS.stages:
        slots = [[next(genes) for _ in range(4)] for _ in range(stage.slots)]
        rest = [slot for slot in slots[1:] if slot[1] < len(stage.head_counts)]
        places = sorted(rng.sample(range(1, stage.slots), len(rest)))
        missing = [0, len(stage.head_counts), rng.randrange(10), rng.randrange(10)]
        scattered = [slots[0], *[missing] * (stage.slots - 1)]
        for place, slot in zip(places, rest, strict=True):
            scattered[place] = slot
        moved += [gene for slot in scattered for gene in slot]
    assert TWINS.from_choices(moved) == arch


def test_probability_of_identities():
    rng = random.Random(0)
    assert TWINS.draw_active(rng, 1.0).depth == (1, 1, 1, 1)
    assert TWINS.draw_active(rng, 0.0).depth == (4, 4, 16, 6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"embed_dim": [96, 192, 384]}, "give one per stage, 4"),
        ({"depth": [1, 1, 1, 2]}, "4 entries for 5 blocks"),
        ({"depth": [0, 1, 1, 2]}, r"depth\[0\] is 0; give 1 to 10,000"),
        ({"attention": ["local"] * 4}, r"attention of stage 3\[0\] is 'local'; searched: glob"),
        ({"num_heads": [2, 4, 8, 8]}, r"num_heads of stage 3\[0\] is 8; searched: 16, 24, 32"),
        ({"attention": ["none"] * 4}, r"attention\[0\] is 'none'; allowed: local, global"),
        ({"qkv_dim": [361, 720, 1440, 2880]}, r"qkv_dim\[0\] is 361 for 2 heads; .* of 6"),
        ({"num_heads": 3}, "give a list"),
    ],
)
def test_invalid_architectures(change, message):
    valid = {
        "embed_dim": [96, 192, 384, 768],
        "depth": [1, 1, 1, 1],
        "attention": ["local", "global", "local", "global"],
        "num_heads": [2, 4, 8, 16],
        "qkv_dim": [360, 720, 1440, 2880],
        "mlp_dim": [360, 720, 1440, 2880],
    }
    assert TWINS.decode(valid).depth == (1, 1, 1, 1)
    with pytest.raises(ValueError, match=message):
        TWINS.check_inside(valid | change)


def test_images_that_are_too_small():
    with pytest.raises(ValueError, match="gone after three halvings"):
        TWINS.params(TWINS.sample(1)[0], img_size=16, patch_size=16)
    with pytest.raises(ValueError, match="3 stages; Twins has 4"):
        spaces.VitasTwinsSpace("short", TWINS.stages[:3])
