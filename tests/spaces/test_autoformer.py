"""AutoFormer spaces: counts, windows, encodings."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tvtfast import spaces

TINY = spaces.get("autoformer-tiny")
RATIOS = [3.5, 4.0, 3.5, 4.0, 3.5, 3.5, 4.0, 3.5, 4.0, 4.0, 4.0, 3.5]
PUBLISHED = {
    "hidden_dim": 192,
    "depth": 12,
    "mlp_ratio": RATIOS,
    "num_heads": [4, 4, 3, 4, 3, 3, 4, 4, 3, 3, 3, 4],
}


def test_published_counts():
    assert TINY.params(PUBLISHED) == 5_321_956
    assert TINY.flops(PUBLISHED) == pytest.approx(2 * 1_209.94e6, rel=1e-5)
    assert TINY.feasible_range("params") == (5_100_196, 9_977_140)


def test_size_counts_every_sequence_of_block_choices():
    assert TINY.size == 3 * (4**12 + 4**13 + 4**14)


def test_original_ranges_bracket_the_published_models():
    """AutoFormer-T, -S and -B have 5.8, 22.9 and 53.7 M parameters on ImageNet."""
    for size, published in (("tiny", 5.8e6), ("small", 22.9e6), ("base", 53.7e6)):
        space = spaces.get(f"autoformer-original-{size}")
        low, high = space.feasible_range("params", num_classes=1000)
        assert low < published < high


def test_json_is_canonical_and_round_trips():
    encoded = TINY.encode(PUBLISHED)
    arch = TINY.decode(encoded)
    assert TINY.encode(arch) == encoded == TINY.encode(dict(reversed(PUBLISHED.items())))
    assert TINY.to_dict(arch) == PUBLISHED
    assert json.loads(encoded) == PUBLISHED


def test_integers_in_other_clothes_encode_alike():
    other = PUBLISHED | {
        "hidden_dim": np.int64(192),
        "depth": 12.0,
        "num_heads": np.array(PUBLISHED["num_heads"]).tolist(),
        "mlp_ratio": [np.float32(ratio) for ratio in RATIOS],
    }
    assert TINY.encode(other) == TINY.encode(PUBLISHED)


def test_supernet_form_of_autoformer():
    supernet = {
        "layer_num": 12,
        "embed_dim": [192] * 12,
        "mlp_ratio": RATIOS,
        "num_heads": PUBLISHED["num_heads"],
    }
    assert TINY.decode(supernet) == TINY.decode(PUBLISHED)
    with pytest.raises(ValueError, match="same width 12 times"):
        TINY.decode(supernet | {"embed_dim": [192] * 11 + [216]})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_dim": 204}, r"hidden_dim is 204; searched: 192, 216, 240"),
        ({"hidden_dim": 192.5}, "give an integer"),
        ({"depth": 11}, "12 entries for depth 11"),
        ({"depth": 13}, "12 entries for depth 13"),
        ({"mlp_ratio": [3.5] * 11 + [2.0]}, r"mlp_ratio\[11\] is 2.0"),
        ({"mlp_ratio": [3.5] * 11 + [-2.0]}, r"mlp_ratio\[11\] is -2.0; times the width 192"),
        ({"mlp_ratio": [3.5] * 11 + [600.0]}, r"mlp_ratio\[11\] is 600.0; times the width 192"),
        ({"num_heads": [3] * 11 + [5]}, r"num_heads\[11\] is 5, and hidden_dim 192 does not split"),
        ({"num_heads": [3] * 11 + [0]}, r"num_heads\[11\] is 0; give 1 to 10,000"),
        ({"hidden_dim": -192}, "hidden_dim is -192; give 1 to 10,000"),
        ({"num_heads": 3}, "give a list, one per block"),
        ({"extra": 1}, "unknown: extra"),
    ],
)
def test_invalid_architectures_name_the_decision(change, message):
    with pytest.raises(ValueError, match=message):
        TINY.check_inside(PUBLISHED | change)


def test_text_that_is_not_an_architecture():
    with pytest.raises(ValueError, match="not JSON"):
        TINY.decode("{hidden_dim")
    with pytest.raises(ValueError, match="is a dict, a JSON object"):
        TINY.decode("[1, 2]")
    with pytest.raises(ValueError, match="missing: depth"):
        TINY.decode({"hidden_dim": 192, "mlp_ratio": [], "num_heads": []})


def test_too_large_to_enumerate():
    with pytest.raises(spaces.NotEnumerableError, match="sample it instead"):
        TINY.enumerate()


def test_narrow_window_says_what_was_found():
    with pytest.raises(spaces.InfeasibleError, match=r"found 0 of 5 .* in 100,000 draws"):
        TINY.sample(5, constraints={"params": (5_200_000, 5_200_000)})


def test_a_small_space_lists_itself():
    space = spaces.AutoFormerSpace("x", (24, 32), (2, 3), (2.0,), (2, 4))
    everything = space.enumerate()
    assert len(everything) == len(set(everything)) == space.size == 24
    assert all(space.decode(space.encode(arch)) == arch for arch in everything)
    assert set(space.sample(24, 0)) == set(everything)
    assert space.sample(4, 0) == space.sample(24, 0)[:4]
    low, high = space.feasible_range("params")
    inside = space.enumerate({"params": (None, (low + high) / 2)})
    assert 0 < len(inside) < 24
    with pytest.raises(spaces.InfeasibleError, match="only 24 of 24 exist"):
        space.sample(25, 0)


def test_a_large_space_does_not():
    with pytest.raises(spaces.NotEnumerableError, match="too many to enumerate"):
        TINY.enumerate()
