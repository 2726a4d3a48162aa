"""The As-ViT space: published strings and counts, topologies and what grows from them."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tvtfast import spaces
from tvtfast.spaces.asvit import LARGEST, SEED, sampled_size, token_grids, window_size

ASVIT = spaces.get("asvit")
SMALL = replace(SEED, depths=(3, 1, 4, 2), width=88)
BASE = replace(SEED, depths=(3, 1, 5, 2), width=116)
seeds = st.integers(min_value=0, max_value=2**32)
grown = st.builds(
    lambda seed, depths, width: replace(ASVIT.sample(1, seed)[0], depths=depths, width=width),
    seeds,
    st.tuples(*[st.integers(1, 9)] * 4),
    st.integers(8, 400),
)


@pytest.mark.parametrize(
    ("arch", "params", "mmacs"),
    [
        (SEED, 2_319_624, 491.5),
        (LARGEST, 87_580_820, 22_360),
        (SMALL, 28_780_000, 5_130),
        (BASE, 52_260_000, 8_750),
    ],
)
def test_published_counts(arch, params, mmacs):
    """With the published 1,000 classes; figures of round numbers to the digits they have."""
    assert ASVIT.params(arch, num_classes=1000) == pytest.approx(
        params, abs=5_000 if params % 10_000 == 0 else 0
    )
    macs = ASVIT.flops(arch, num_classes=1000) / 2
    assert macs / 1e6 == pytest.approx(mmacs, abs=0.05 if mmacs < 1000 else 5)


def test_published_strings():
    assert str(SEED) == "8,2,3|4,1,2|4,1,4|4,1,6|32"
    assert str(LARGEST) == "8,2,3,5|4,1,2,2|4,1,4,5|4,1,6,2|32,180"
    assert SEED.to_string(extended=True) == "8,2,3,1|4,1,2,1|4,1,4,1|4,1,6,1|32,32"
    with pytest.raises(ValueError, match="has depths or width of its own"):
        LARGEST.to_string(extended=False)
    assert LARGEST.widths == (180, 360, 720, 1024)
    assert LARGEST.stage_heads == (4, 8, 16, 32)


@given(arch=grown)
def test_every_form_of_an_architecture_is_read_back(arch):
    fields = ASVIT.to_dict(arch)
    forms = (str(arch), arch.to_string(extended=True), fields, json.dumps(fields), f" {arch} ")
    assert all(ASVIT.decode(form) == arch for form in forms)
    assert ASVIT.decode(str(arch.topology)) == arch.topology


@given(text=st.text(alphabet="0123456789,|-{ x", max_size=40))
def test_other_text_is_refused(text):
    with pytest.raises(ValueError, match=r"asvit"):
        ASVIT.decode(text)


@pytest.mark.parametrize(
    ("encoded", "message"),
    [
        ("8,2,3|4,1,2|4,1,4|4,1,6|32,64", "is no architecture; give K,S,E"),
        ("8,2,3,1|4,1,2|4,1,4|4,1,6|32", "is no architecture; give K,S,E"),
        ("9,2,3|4,1,2|4,1,4|4,1,6|32", r"kernels\[0\] is 9; searched: 4, 5, 6, 7, 8"),
        ("8,2,3|4,1,2|4,1,4|4,2,6|32", r"splits\[3\] is 2; searched: 1"),
        ("8,2,3|4,1,2|4,1,4|4,1,6|24", "heads is 24; searched: 16, 32, 64"),
        ("8,2,3,0|4,1,2,1|4,1,4,1|4,1,6,1|32,32", r"depths\[0\] is 0; give 1 to 10,000"),
        ("8,2,3,1|4,1,2,1|4,1,4,1|4,1,6,1|64,7", "are 8 in the first, which need a channel each"),
        ("3,2,3|4,1,2|4,1,4|4,1,6|32", r"kernels\[0\] is 3; give 4 to 10,000"),
        ("8,2,3|4,1,2|1,1,4|4,1,6|32", r"kernels\[2\] is 1; give 2 to 10,000"),
        ("8,2,3|4,1,2|4,1,4|4,1,6|12", "heads is 12; .* give a multiple of 8"),
        ({"kernels": [8, 4, 4]}, "missing: splits"),
        (ASVIT.to_dict(SEED) | {"kernels": [8, 4, 4]}, "give one per stage, four"),
        (ASVIT.to_dict(SEED) | {"width": 32.5}, "width is 32.5; give an integer"),
    ],
)
def test_invalid_architectures(encoded, message):
    with pytest.raises(ValueError, match=message):
        ASVIT.check_inside(encoded)


def test_depths_and_width_may_be_left_out():
    fields = {k: v for k, v in ASVIT.to_dict(SEED).items() if k not in ("depths", "width")}
    assert ASVIT.decode(fields) == SEED


def test_the_space_is_the_published_one():
    assert ASVIT.size == 4_556_250
    assert len(ASVIT.variables) == 12
    assert all(arch == arch.topology for arch in ASVIT.sample(50))


@given(arch=grown, seed=seeds)
def test_variation_keeps_what_has_grown(arch, seed):
    other = ASVIT.sample(1, seed)[0]
    for varied in (ASVIT.mutate(arch, seed, prob=0.5), ASVIT.crossover(arch, other, seed)):
        ASVIT.check_inside(varied)
        assert (varied.depths, varied.width) == (arch.depths, arch.width)
    assert ASVIT.choices_of(arch) == ASVIT.choices_of(arch.topology)


def test_a_width_too_small_for_new_heads_is_raised_to_them():
    narrow = replace(SEED, heads=16, width=2)
    varied = [ASVIT.mutate(narrow, seed, prob=1.0) for seed in range(30)]
    assert {arch.width for arch in varied} == {2, 4, 8}
    for arch in varied:
        ASVIT.check_inside(arch)


@pytest.mark.parametrize("img_size", [224, 32, (36, 52)])
def test_extremes_are_those_of_the_whole_space(img_size):
    """Against every combination of first and last choices, which holds the extremes wherever
    windows divide the grid."""
    sizes = [len(variable.choices) for variable in ASVIT.variables]
    ends = [(0, size - 1) for size in sizes[:-1]]
    corners = [
        ASVIT.from_choices(indices) for indices in itertools.product(*ends, range(sizes[-1]))
    ]
    for metric, count in (("params", ASVIT.params), ("flops", ASVIT.flops)):
        options = {"img_size": img_size} if metric == "flops" else {}
        counts = [count(arch, **options) for arch in corners]
        low, high = ASVIT.feasible_range(metric, img_size=img_size)
        assert low <= min(counts)
        assert high >= max(counts)
        if img_size != (36, 52):
            assert (low, high) == (min(counts), max(counts))


def test_grids_and_windows():
    assert token_grids((224, 224)) == ((56, 56), (28, 28), (14, 14), (7, 7))
    assert token_grids((30, 65)) == ((8, 17), (4, 9), (2, 5), (1, 3))
    assert window_size((56, 28), 8) == (7, 4)
    assert window_size((2, 5), 4) == (1, 2)
    assert sampled_size((32, 33), 4) == (8, 8)
    with pytest.raises(ValueError, match="every 16th pixel"):
        sampled_size((4, 64), 16)
