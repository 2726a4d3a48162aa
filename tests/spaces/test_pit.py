"""The PiT space: counts, enumeration, windows."""

from __future__ import annotations

import pytest

from tvtfast import spaces

PIT = spaces.get("pit")
PUBLISHED = {"base_dim": 16, "mlp_ratio": 6, "depth": [2, 8, 4], "num_heads": [2, 4, 4]}


def test_published_counts():
    assert PIT.params(PUBLISHED) == 893_828
    assert PIT.flops(PUBLISHED) == pytest.approx(2 * 267.61e6, rel=1e-4)
    assert PIT.feasible_range("params") == (156_612, 29_472_420)


def test_enumeration_is_the_whole_space_once():
    everything = PIT.enumerate()
    assert len(everything) == len(set(everything)) == PIT.size == 1600


def test_published_window_holds_707():
    """TVT keeps models whose parameters round to 4..22 million."""
    assert len(PIT.enumerate({"params": (3.5e6, 22.5e6)})) == 707


def test_asking_for_more_than_exist():
    with pytest.raises(spaces.InfeasibleError, match="only 707 of 1,600 exist there"):
        PIT.sample(708, constraints={"params": (3.5e6, 22.5e6)})
    assert len(set(PIT.sample(707, constraints={"params": (3.5e6, 22.5e6)}))) == 707


def test_flops_window_uses_the_flops_extremes():
    """Least parameters is not least FLOPs everywhere, so both ends come from the whole space."""
    low, high = PIT.feasible_range("flops")
    assert len(PIT.sample(1, constraints={"flops": (None, low)})) == 1
    assert len(PIT.sample(1, constraints={"flops": (high, None)})) == 1


def test_patch_of_one_pixel_has_no_stride():
    with pytest.raises(ValueError, match="patch_size is 1, .* give one of 2, 3, 4, 8"):
        PIT.params(PUBLISHED, img_size=32, patch_size=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"depth": [0, 4, 2]}, r"depth\[0\] is 0; give 1 to 10,000"),
        ({"num_heads": [4, 2, 2]}, "pooling multiplies channels, so give a multiple of 4 after 4"),
        ({"num_heads": [2, 4, 6]}, "give a multiple of 4 after 4"),
        ({"depth": [2, 8]}, "give one per stage, three"),
        ({"base_dim": "x"}, "base_dim is 'x'; give an integer"),
        ({"base_dim": 9999}, r"base_dim times num_heads\[2\] is 39996; give 1 to 10,000"),
        ({"mlp_ratio": -4}, "mlp_ratio is -4; give 1 to 10,000"),
    ],
)
def test_invalid_architectures(change, message):
    with pytest.raises(ValueError, match=f"pit: .*{message}"):
        PIT.decode(PUBLISHED | change)


@pytest.mark.parametrize(
    ("name", "base", "heads"),
    [
        ("pit-full-tiny", (16, 24, 32, 40), (2, 4, 8)),
        ("pit-full-xs", (40, 48, 56, 64), (2, 4, 8)),
        ("pit-full-small", (36, 48, 60, 72), (3, 6, 12)),
    ],
)
def test_spaces_of_all_27_depths(name, base, heads):
    space = spaces.get(name)
    assert space.size == len(space.enumerate()) == 4 * 4 * 27 * 10
    assert space.base_dims == base
    assert {count for triple in space.head_triples for count in triple} == set(heads)
    default = {"base_dim": base[0], "mlp_ratio": 2, "depth": [2, 4, 4], "num_heads": [heads[0]] * 3}
    assert space.contains(default) and not PIT.contains(default)
