"""The peak of memory is known before anything is computed, and stays under the budget given."""

from __future__ import annotations

import weakref

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tvtfast import spaces
from tvtfast.population import Population
from tvtfast.population import memory as memory_module
from tvtfast.population import population as population_module
from tvtfast.population.memory import MemoryPlan, peak_bytes, plan_memory
from tvtfast.population.tree import prefix_tree

CPU = torch.device("cpu")


def peak(tree, images, plan):
    return peak_bytes(plan.schedule(tree, images), images, plan)


class LiveBytes(TorchDispatchMode):
    """Bytes of all storages made inside that are still alive, and their peak."""

    def __init__(self):
        super().__init__()
        self.now = self.peak = 0
        self.known = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        before = {
            leaf.untyped_storage()._cdata
            for leaf in tree_leaves((args, kwargs))
            if isinstance(leaf, torch.Tensor)
        }
        result = function(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if not isinstance(leaf, torch.Tensor):
                continue
            storage = leaf.untyped_storage()
            if storage._cdata in before or storage._cdata in self.known:
                continue
            self.known.add(storage._cdata)
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self.release, storage._cdata, storage.nbytes())
        return result

    def release(self, key, size):
        self.known.discard(key)
        self.now -= size


@pytest.mark.parametrize(
    ("space", "options"),
    [
        ("autoformer-tiny", {"img_size": 64, "patch_size": 8}),
        ("autoformer-original-tiny", {"img_size": 64, "patch_size": 8}),
        ("pit", {"img_size": 96}),
    ],
)
@pytest.mark.parametrize("share", (1.0, 0.3))
def test_peak_stays_under_the_budget(space, options, share, monkeypatch):
    monkeypatch.setattr(memory_module, "_CPU_NODES", 16)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)  # other threads are not watched
    archs = spaces.get(space).sample(16, 0, **options)
    assert_peak_stays_under_the_budget(archs, space, options, share)


def test_peak_of_alternatives_stays_under_the_budget(monkeypatch):
    """Siblings, whose results one operator makes at once."""
    monkeypatch.setattr(memory_module, "_CPU_NODES", 16)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    space = spaces.get("autoformer-tiny")
    arch = space.to_dict(space.sample(1, 0)[0])
    archs = [
        {**arch, "num_heads": [*arch["num_heads"][:-1], heads], "mlp_ratio": [*ratios, ratio]}
        for ratios in ([first, *arch["mlp_ratio"][1:-1]] for first in (3.5, 4.0))
        for heads in (3, 4)
        for ratio in (3.5, 4.0)
    ]
    options = {"img_size": 64, "patch_size": 8}
    for share in (1.0, 0.3):
        assert_peak_stays_under_the_budget(archs, space, options, share)


def assert_peak_stays_under_the_budget(archs, space, options, share):
    images = torch.randn(4, 3, options["img_size"], options["img_size"])
    population = Population(archs, space=space, **options)
    for step in population.paths.steps:  # weights are not part of the budget
        for matrix in step.matrices:
            population.bank.weight(matrix), population.bank.bias(matrix)
    for _ in population.features(images):
        pass
    tree = prefix_tree(population.paths, range(len(population)))
    largest, _ = plan_memory(tree, 4, torch.float32, CPU, 2**40)
    most, least = (peak(tree, 4, plan) for plan in (largest, MemoryPlan(1, 1, torch.float32)))
    budget = int(least + share * (most - least))
    population.memory = budget
    count = 0
    with LiveBytes() as live:
        for entry in population.features(images):
            count += sum(map(len, entry.rows))
            del entry
    assert count == len(population)
    assert live.peak <= budget
    assert live.peak > 0.2 * budget, "the estimate is of the right size"


@pytest.mark.slow
def test_ends_that_wait_to_be_read_are_counted(monkeypatch):
    options = {"img_size": 64, "patch_size": 8}
    space = spaces.get("autoformer-tiny")
    population = Population(space.sample(24, 0), space=space, **options)
    images = torch.randn(4, 3, 64, 64)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    for _ in population.features(images):  # weights are not part of the plan
        pass
    tree = prefix_tree(population.paths, range(len(population)))
    peaks = []
    for ends in (1, 24):
        plan = MemoryPlan(4, 1, torch.float32, ends_per_reading=ends)  # small temporaries
        made = plan, plan.schedule(tree, len(images))
        monkeypatch.setattr(population_module, "plan_memory", lambda *arguments, made=made: made)
        with LiveBytes() as live:
            for entry in population.features(images):
                del entry
        assert live.peak <= peak(tree, len(images), plan)
        peaks.append(live.peak)
    assert peaks[1] > peaks[0], "they do wait"


def test_a_budget_that_is_too_small():
    population = Population(
        spaces.get("autoformer-tiny").sample(2, 0), space="autoformer-tiny", memory=10_000
    )
    with pytest.raises(MemoryError, match=r"take 1?\d MiB at the least and 0 MiB may be used"):
        next(population.features(torch.zeros(8, 3, 224, 224)))


def test_plans_shrink_with_the_budget():
    paths = spaces.get("autoformer-tiny").paths(spaces.get("autoformer-tiny").sample(40, 0))
    tree = prefix_tree(paths, range(40))
    plan = MemoryPlan(64, 2**18, torch.bfloat16)
    peaks = [peak(tree, 8, plan)]
    for _ in range(6):
        plan = plan.halved()
        peaks.append(peak(tree, 8, plan))
    assert peaks == sorted(peaks, reverse=True)
    for size in (4096, 1024, 256, 64):
        plan, waves = plan_memory(tree, 8, torch.bfloat16, CPU, 2**20 * size)
        assert peak_bytes(waves, 8, plan) <= 2**20 * size
        assert len(waves) == len(plan.schedule(tree, 8))
