"""Depth, width and their like in closed form."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest

from tvtfast import spaces
from tvtfast.spaces import ModelOptions, asvit, autoformer, pit, vitas_cell, vitas_deit, vitas_twins
from tvtfast.spaces.features import field_features
from tvtfast.spaces.steps import MLP

MODULES = (asvit, autoformer, pit, vitas_cell, vitas_deit, vitas_twins)
ALL = [space for module in MODULES for space in module.SPACES]


@pytest.mark.parametrize("space", ALL, ids=lambda space: space.name)
def test_all_architectures_of_a_space_have_the_same_finite_features(space):
    found = [space.features(arch) for arch in space.sample(20, 0)]
    assert {tuple(features) for features in found} == {tuple(found[0])}
    assert {"depth", "width", "num_heads", "mlp_ratio"} <= found[0].keys()
    assert all(type(value) is float for features in found for value in features.values())
    assert all(math.isfinite(value) for features in found for value in features.values())


@pytest.mark.parametrize(
    "space", [space for space in ALL if space.has_steps], ids=lambda space: space.name
)
def test_they_are_those_of_the_layers(space):
    """The layers that are built know nothing of the features."""
    for arch in space.sample(10, 1):
        mlps = [step for step in space._steps(arch, ModelOptions()) if isinstance(step, MLP)]
        features = space.features(arch)
        assert features["depth"] == len(mlps)
        assert features["width_sum"] == sum(mlp.dim for mlp in mlps)
        assert features["width"] == pytest.approx(features["width_sum"] / len(mlps))


def test_features_of_an_architecture():
    arch = {"base_dim": 16, "mlp_ratio": 6, "depth": [2, 8, 4], "num_heads": [2, 4, 8]}
    features = spaces.get("pit").features(arch)
    assert features["depth"] == 14 and features["head_dim"] == 16
    assert features["num_heads_sum"] == 2 * 2 + 8 * 4 + 4 * 8
    assert features["width"] == 16 * features["num_heads_sum"] / 14
    with pytest.raises(ValueError, match="one per stage"):
        spaces.get("pit").features(arch | {"depth": [2, 8]})


def test_fields_of_a_space_of_ones_own():
    @dataclass(frozen=True)
    class Arch:
        depth: int
        widths: tuple[int, ...]
        kinds: tuple[str, ...]

    assert field_features(Arch(3, (4, 8), ("a", "b"))) == {
        "depth": 3.0,
        "widths": 6.0,
        "widths_sum": 12.0,
    }
