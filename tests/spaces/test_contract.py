"""What holds for every space."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tvtfast import spaces
from tvtfast.spaces import asvit, autoformer, pit, vitas_cell, vitas_deit, vitas_twins

MODULES = (asvit, autoformer, pit, vitas_cell, vitas_deit, vitas_twins)
LIKE_OTHERS = ("pit-full-tiny", "pit-full-xs")
"""Spaces that differ from one below in a list."""
ALL = [space for module in MODULES for space in module.SPACES if space.name not in LIKE_OTHERS]
every_space = pytest.mark.parametrize("space", ALL, ids=lambda space: space.name)
seeds = st.integers(min_value=0, max_value=2**32)


@every_space
@settings(max_examples=25, deadline=None)
@given(seed=seeds)
def test_variation_stays_inside_the_space(space, seed):
    first, second = space.sample(2, seed)
    for arch in (space.mutate(first, seed, prob=0.5), space.crossover(first, second, seed)):
        space.check_inside(arch)
        assert space.decode(space.encode(arch)) == arch
        assert space.decode(space.to_dict(arch)) == arch


@every_space
def test_mutation_with_probability_zero_and_one(space):
    arch = space.sample(1, 0)[0]
    assert space.mutate(arch, 1, prob=0.0) == arch
    assert len({space.mutate(arch, seed, prob=1.0) for seed in range(20)}) > 10
    with pytest.raises(ValueError, match=r"prob must be in \[0, 1\]"):
        space.mutate(arch, prob=1.5)


@every_space
def test_crossover_of_an_architecture_with_itself(space):
    arch = space.sample(1, 3)[0]
    assert space.crossover(arch, arch, 5) == arch


@every_space
def test_samples_are_distinct_inside_the_window_and_prefixes_of_larger_ones(space):
    low, high = space.feasible_range("params")
    window = {"params": ((2 * low + high) / 3, (low + 2 * high) / 3)}
    large = space.sample(60, 7, window)
    assert len(set(large)) == 60
    assert all(space.satisfies(arch, window) for arch in large)
    assert space.sample(20, 7, window) == large[:20]
    assert space.sample(20, 8, window) != large[:20]


@every_space
def test_what_a_space_lies_within_has_its_architectures(space):
    assert space.is_within(space.name) and not space.is_within("another")
    if space.contained_in is not None:
        larger = spaces.get(space.contained_in)
        assert space.is_within(larger.name) and not larger.is_within(space.name)
        for arch in space.sample(20, 0):
            inside = larger.check_inside(space.to_dict(arch))
            assert larger.params(inside) == space.params(arch)
            assert larger.flops(inside) == space.flops(arch)


@every_space
def test_a_generator_continues(space):
    rng = random.Random(1)
    assert space.sample(3, rng) != space.sample(3, rng)


@every_space
def test_impossible_windows_name_the_feasible_range(space):
    low, high = space.feasible_range("params")
    for window in ((0, low - 1), (high + 1, None)):
        with pytest.raises(spaces.InfeasibleError, match=f"{low:,.0f}, {high:,.0f}"):
            space.sample(1, constraints={"params": window})


@every_space
@settings(max_examples=10, deadline=None)
@given(seed=seeds)
def test_counts_stay_within_the_feasible_range(space, seed):
    arch = space.sample(1, seed)[0]
    for metric, count in (("params", space.params(arch)), ("flops", space.flops(arch))):
        low, high = space.feasible_range(metric)
        assert low <= count <= high


@pytest.mark.parametrize(
    ("constraints", "message"),
    [
        ({"latency": 1}, "unknown constraint 'latency'; known: params, flops, macs"),
        ({"params": (2, 1)}, "low <= high"),
        ({"params": (float("nan"), 1)}, "low <= high"),
        ({"params": (1, 2, 3)}, r"give \(low, high\)"),
        ({"params": "4M"}, r"give \(low, high\)"),
    ],
)
def test_malformed_constraints(constraints, message):
    with pytest.raises(ValueError, match=message):
        spaces.get("pit").sample(1, constraints=constraints)


def test_unknown_names_and_options():
    with pytest.raises(ValueError, match="unknown space 'autoformr'; known: .*autoformer-"):
        spaces.get("autoformr")
    with pytest.raises(TypeError, match="unknown model option .patchsize.; known: num_classes"):
        spaces.get("pit").sample(1, patchsize=4)
    with pytest.raises(ValueError, match="leaves no patch"):
        spaces.get("pit").sample(1, img_size=8)


def test_registering_a_taken_name_is_refused():
    with pytest.raises(ValueError, match="registered already"):
        spaces.register(spaces.AutoFormerSpace("pit", (8,), (1,), (2.0,), (1,)))
    assert spaces.register(spaces.get("pit")) is spaces.get("pit")


def test_spaces_are_importable_without_torch():
    code = "import sys; import tvtfast.spaces; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class Unlisted(type(spaces.get("pit"))):
    """A small space whose class states nothing but what it has to."""

    _all = spaces.Space._all

    def _span(self, metric, options):
        return 0, 10**12


def test_a_small_space_that_does_not_list_itself_is_drawn_from():
    space = Unlisted("unlisted")
    assert space.size == spaces.get("pit").size and not space.enumerable
    assert len(set(space.sample(50, 0))) == 50
    assert space.sample(20, 0) == space.sample(50, 0)[:20]
    with pytest.raises(spaces.NotEnumerableError, match="does not list its 1,600 architectures"):
        space.enumerate()
