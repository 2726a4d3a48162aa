"""The simulation of many workers: costs are those of the prefix tree, schedules are sound."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tvtfast import spaces
from tvtfast.population.tree import prefix_tree

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(not (ROOT / "bench").is_dir(), reason="the source tree is not here")


@pytest.fixture
def scale(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("bench.scale")


@pytest.fixture(scope="module")
def paths():
    space = spaces.get("autoformer-tiny")
    return space.paths(space.sample(300, 0), img_size=224, num_classes=100)


def macs_of(tree):
    return sum(tree.steps[step].macs for step in tree.step if step >= 0)


def test_costs_are_those_of_the_prefix_tree(scale, paths):
    whole = scale.cut(paths, 1, images=1)
    assert whole.shared == pytest.approx(2 * macs_of(prefix_tree(paths, range(len(paths)))))
    assert whole.flops.tolist() == pytest.approx([whole.shared])


@pytest.mark.parametrize("count", [2, 16, 100, 5000])
def test_units_hold_everything_once_and_their_beginnings_again(scale, paths, count):
    units = scale.cut(paths, count, images=1)
    assert units.candidates.sum() == len(paths) and len(units.flops) <= min(count, len(paths))
    alone = 2 * sum(macs_of(prefix_tree(paths, [row])) for row in range(len(paths)))
    assert units.shared * (1 - 1e-12) <= units.flops.sum() <= alone * (1 + 1e-12)


def test_schedules_are_bounded_by_work_and_by_the_longest_unit(scale):
    rates = scale.Rates("any", 1.0, hand_over=0.0, driver=0.0)
    seconds = np.random.default_rng(0).exponential(1.0, 200).tolist()
    ones = [1] * 200
    assert scale.makespan(seconds, ones, 1, rates) == pytest.approx(sum(seconds))
    for workers in (2, 7, 64):
        span = scale.makespan(seconds, ones, workers, rates)
        least = max(max(seconds), sum(seconds) / workers)
        assert least <= span <= sum(seconds) / workers + max(seconds), "Graham's bound"


def test_a_slow_driver_is_what_everybody_waits_for(scale):
    rates = scale.Rates("any", 1.0, hand_over=0.0, driver=0.5)
    assert scale.makespan([1.0] * 8, [10] * 8, 8, rates) == pytest.approx(1.0 + 8 * 10 * 0.5)


def test_a_hundred_thousand_candidates_keep_64_workers_busy(scale):
    """The promise, at a tenth of the candidates."""
    space = spaces.get("autoformer-tiny")
    many = space.paths(space.sample(10_000, 0), img_size=224, num_classes=100)
    units = scale.cut(many, 64 * scale.UNITS_PER_WORKER)
    assert scale.efficiency(units, 64, scale.CPU, spread=0.2) >= 0.9
