"""What the host does for a device, counted on the meta device with operators stubbed out."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]


pytestmark = pytest.mark.skipif(
    not (ROOT / "bench").is_dir(), reason="bench is not part of the installation"
)


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("bench.host")


def test_a_call_of_an_operator_takes_four_of_aten(bench):
    host = bench.Host(candidates=200, images=64)
    with bench.stubbed(), torch.no_grad():
        host.features()  # weights are drawn
        counted = host.counted()
    nodes = len(bench.prefix_tree(host.population.paths, range(200))) - 1
    assert 0 < counted.operators < 0.2 * nodes
    assert counted.around <= 4 * counted.operators
    assert counted.aten.total() - counted.around <= 2 * counted.operators
    # results are written where they belong, and nothing waits for the device
    names = {name for name in counted.aten if "copy_" in name or "index" in name or "item" in name}
    assert names <= {"aten::_to_copy", "aten::index_select"}


def test_scores_of_a_device_are_all_entered(bench):
    host = bench.Host(candidates=40, images=64)
    with bench.stubbed():
        table = host.score()
    assert len(table) == 40 and (table["stand_in"] == 0).all()
