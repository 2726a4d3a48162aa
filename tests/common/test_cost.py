"""What a run cost: measured, added up over its starts, and told."""

from __future__ import annotations

import json

import psutil
import pytest
import torch

import tvtfast
from tvtfast.common import cost
from tvtfast.common.cost import Cost, Meter
from tvtfast.common.identity import Identity
from tvtfast.common.run_folder import RunFolder, cost_of, read_record
from tvtfast.report import cost_facts
from tvtfast.spaces import AutoFormerSpace

SPACE = AutoFormerSpace("cost-small", (16, 32), (2,), (2.0, 3.0), (2, 4))
OPTIONS = {"img_size": 16, "patch_size": 8, "num_classes": 3, "device": "cpu"}


@pytest.fixture(scope="module", autouse=True)
def registered():
    if SPACE.name not in tvtfast.spaces.available():
        tvtfast.spaces.register(SPACE)


@pytest.fixture
def clock(monkeypatch):
    """Seconds and GPU allocations, which a test moves."""
    state = {"seconds": 100.0, "processor": 7.0, "allocations": 0, "processes": 1}
    monkeypatch.setattr(cost.time, "perf_counter", lambda: state["seconds"])
    monkeypatch.setattr(cost.time, "process_time", lambda: state["processor"])
    monkeypatch.setattr(cost, "_gpu_allocations", lambda: state["allocations"])
    monkeypatch.setattr(cost, "_processes", lambda: state["processes"])
    monkeypatch.setattr(cost, "device_peak", lambda: 10**9)
    return state


def test_starts_add_up_by_core_and_gpu(clock):
    threads = torch.get_num_threads()
    meter = Meter()
    clock["seconds"] += 1800
    clock["processor"] += 3000
    first = meter.read()
    assert first.processor_seconds == 3000
    assert first.wall_seconds == 1800 and first.core_hours == 0.5 * threads
    assert (first.gpu_hours, first.gpu_memory, first.starts) == (0.0, None, 1)
    assert first.host_memory >= 0.9 * psutil.Process().memory_info().rss
    second = Meter(Cost.of(json.loads(json.dumps(first.to_dict()))))
    clock["seconds"] += 3600
    clock["processor"] += 500
    clock["allocations"], clock["processes"] = 1, 4
    both = second.read()
    assert both.processor_seconds == 3500
    assert both.wall_seconds == 5400 and both.core_hours == first.core_hours
    assert (both.gpu_hours, both.gpu_memory, both.starts) == (4.0, 10**9, 2)
    assert second.read() == both, "reading spends nothing"
    assert both.to_dict(100)["seconds_per_candidate"] == 54


def test_workers_count_by_their_number_and_threads(clock):
    meter = Meter()
    meter.shared(8, 3)
    clock["seconds"] += 1800
    spent = meter.read()
    assert (spent.core_hours, spent.processes, spent.threads) == (12.0, 8, 3)


def test_a_search_by_workers_costs_their_cores(tmp_path, simulated):
    found = tvtfast.search(
        SPACE,
        trials=4,
        proxies=["weight_norm"],
        executor=simulated(3),
        run_dir=tmp_path / "run",
        progress=False,
        **OPTIONS,
    )
    assert found.cost.processes == 3
    assert read_record(tmp_path / "run")["cost"]["processes"] == 3


def test_facts_say_what_was_multiplied_and_added():
    spent = Cost(5400.0, 3.0, 4.0, 2_500_000_000, 10**9, threads=2, processes=4, starts=2)
    facts = {
        name: text.replace("\N{NO-BREAK SPACE}", " ")
        for name, text in cost_facts(spent, 100).items()
    }
    assert facts == {
        "wall time": "1 h 30 min, added up over 2 starts",
        "GPU hours": "4 (wall time x 4 processes)",
        "core hours": "3 (wall time x 2 threads x 4 processes)",
        "peak memory of the process": "2.50 GB",
        "peak memory of the GPU": "1.00 GB",
        "time per candidate": "54 s (wall time over 100)",
    }
    assert cost_facts(Cost()) == {}, "nothing was measured"


def test_the_folder_keeps_it_over_starts_that_failed_and_those_of_earlier_versions(tmp_path, clock):
    folder = RunFolder(tmp_path, Identity("search", {"seed": 0}), holds=lambda path: True)
    with folder.claimed() as record:
        record.candidates = 10
        clock["seconds"] += 20
    assert read_record(tmp_path)["cost"]["seconds_per_candidate"] == 2
    with pytest.raises(RuntimeError, match="stop"), folder.claimed():
        clock["seconds"] += 5
        raise RuntimeError("stop")
    spent = cost_of(read_record(tmp_path))
    assert (spent.wall_seconds, spent.starts) == (25, 2)
    content = read_record(tmp_path)
    del content["cost"]
    (tmp_path / "run.json").write_text(json.dumps(content))
    assert cost_of(read_record(tmp_path)) == Cost()
    with folder.claimed():
        clock["seconds"] += 1
    assert cost_of(read_record(tmp_path)).starts == 1


def test_signs_of_life_keep_the_account_of_a_run_that_is_killed(tmp_path, clock):
    folder = RunFolder(tmp_path, Identity("search", {"seed": 0}), holds=lambda path: True)
    with folder.claimed() as record:
        clock["seconds"] += 7
        record.beat()
        assert read_record(tmp_path)["cost"]["wall_seconds"] == 7


def test_a_search_in_memory_has_its_cost():
    result = tvtfast.search(SPACE, proxies=["weight_norm"], **OPTIONS)
    assert result.cost.wall_seconds >= sum(result.timings.values()) > 0
    assert result.cost.starts == 1 and result.cost.core_hours > 0
