"""The benchmark's timers and table, with a device that is made up."""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

from tvtfast import spaces

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(not (ROOT / "bench").is_dir(), reason="the source tree is not here")


@pytest.fixture
def timing(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("bench.timing")


class Device:
    """Stands in for ``torch.cuda`` and for a buffer; notes what it is told, in order."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.slept = 0

    def synchronize(self) -> None:
        self.told.append("synchronize")

    def zero_(self) -> None:
        self.told.append("flush")

    def call(self) -> None:
        self.told.append("call")

    def _sleep(self, cycles: int) -> None:
        self.told.append("sleep")
        self.slept = cycles

    def reset_peak_memory_stats(self) -> None:
        pass

    def memory_allocated(self) -> int:
        return 1000

    def max_memory_allocated(self) -> int:
        return 5000

    def Event(self, enable_timing: bool) -> Device:  # noqa: N802
        assert enable_timing
        return self

    def record(self) -> None:
        self.told.append("record")

    def elapsed_time(self, end: Device) -> float:
        return 250.0


@pytest.mark.parametrize("cold", (False, True))
def test_cuda_timer(timing: ModuleType, cold: bool) -> None:
    device = Device()
    times = timing.CudaTimer(device, device)(device.call, cold)
    flush = ["flush"] if cold else []
    assert device.told == [
        *flush,
        *("synchronize", "call", "synchronize"),
        *flush,
        *("sleep", "record", "call", "record", "synchronize"),
    ]
    assert times.device == times.work == 0.25 and times.peak == 4000
    assert 0 < times.host < times.wall
    assert 0 < device.slept <= 2 * times.host * timing.CudaTimer.CYCLES_PER_SECOND


def test_the_use_of_every_dependency_is_named() -> None:
    dependencies = importlib.import_module("bench.dependencies")
    assert set(dependencies.named()) == dependencies.USES.keys()


def test_medians(timing: ModuleType) -> None:
    cpu = timing.median([timing.Times(3.0, 3.0), timing.Times(1.0, 1.0), timing.Times(2.0, 2.0)])
    assert cpu == timing.Times(2.0, 2.0) and cpu.work == 2.0
    cuda = [timing.Times(3.0, 1.0, 0.5, 7), timing.Times(1.0, 2.0, 0.7, 9)]
    assert timing.median([*cuda, cuda[0]]) == timing.Times(3.0, 1.0, 0.5, 9)


def test_every_call_is_timed(timing: ModuleType) -> None:
    calls: dict[str, int] = {"ours": 0, "theirs": 0}

    def counted(name: str) -> object:
        def call() -> None:
            calls[name] += 1

        return call

    times = timing.measure({n: counted(n) for n in calls}, timing.CpuTimer(), False, 0.0)
    assert set(times) == set(calls)
    assert calls == {"ours": 1 + timing.LEAST_ROUNDS, "theirs": 1 + timing.LEAST_ROUNDS}


@pytest.mark.parametrize("device", ("cpu", "cuda"))
def test_rows_have_every_column(timing: ModuleType, device: str) -> None:
    case, table = (importlib.import_module(f"bench.{name}") for name in ("case", "table"))
    shown = case.Case("op", "3x4", print, {"eager": print}, print, 8 * 10**6, flops=10**9)
    more = (0.001, 2**20) if device == "cuda" else ()
    times = {n: timing.Times(wall, 0.001, *more) for n, wall in (("ours", 0.004), ("eager", 0.002))}
    cells = dict(zip(_columns(table, device), table.row(shown, times, 16e9), strict=True))
    assert cells["best baseline / ours"] == "0.50" and cells["baselines, ms"] == "eager 2.000"
    if device == "cuda":
        assert (cells["GB/s"], cells["of copy"], cells["GFLOP/s"]) == ("8.0", "50%", "1000")
        assert (cells["device, ms"], cells["peak, MiB"]) == ("1.000", "1.0")
    else:
        assert (cells["GB/s"], cells["of copy"], cells["GFLOP/s"]) == ("2.0", "12%", "250")


def _columns(table: ModuleType, device: str) -> list[str]:
    return [*table.COLUMNS, *(table.CUDA_COLUMNS if device == "cuda" else ())]


def test_targets_say_what_was_reached(timing: ModuleType) -> None:
    targets = importlib.import_module("bench.targets")
    target = targets.Target(share=0.8, seconds=0.1, speedup={"eager": 5}, memory={"eager": 0.1})
    times = {"ours": timing.Times(0.01, 0, 0.01, 10), "eager": timing.Times(0.04, 0, 0.04, 200)}
    assert targets.verdict(target, times, 0.9) == (
        "80% of copy: 90% met; 100 ms: 10 ms met; 5x eager: 4.0x MISSED;"
        " 0.1 of the memory of eager: 0.05 met"
    )


def test_cases_of_both_devices_have_their_targets(timing: ModuleType) -> None:
    cases = importlib.import_module("bench.cases")
    assert set(cases.builders("cpu")) == set(cases.builders("cuda")) == set(cases.GROUPS)
    targets = {group: cases.targets(group) for group in cases.GROUPS}
    assert sum(map(len, targets.values())) == 4
    for group, known in cases.builders("cuda").items():
        assert set(targets[group]) <= set(known)


@pytest.mark.parametrize("count", (4, 6, 10, 25))
def test_loops_see_candidates_that_cost_as_much_as_all(
    monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    population = importlib.import_module("bench.population")
    space = spaces.get(population.SPACE)
    archs = sorted(space.sample(50, 0), key=lambda arch: space.paths([arch]).flops[0])
    mean = space.paths(archs).flops.mean()
    for order in (archs, archs[::-1]):
        some = population.spread(order, count)
        assert len({str(arch) for arch in some}) == count
        assert space.paths(some).flops.mean() == pytest.approx(mean, rel=0.01)
    assert population.spread(archs, 50) == population.spread(archs, 60) == archs


def test_systems_are_compared_over_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The difference is that of pairs of one seed; a system without runs has no line."""
    monkeypatch.syspath_prepend(str(ROOT))
    systems = importlib.import_module("bench.systems")
    rows = [
        systems.Row("tvt", 0, 2_000_000, 300_000_000, 30.0, 28.0, 20.0, {"search": 60.0}),
        systems.Row("tvt", 1, 1_000_000, 100_000_000, 32.0, 29.0, 22.0, {"search": 120.0}),
        systems.Row("as-vit", 0, 1_900_000, 200_000_000, 25.0, 26.5, None, {"growth": 30.0}),
    ]
    lines = systems.table(rows).splitlines()
    assert lines[2:] == [
        "| tvt | 2 | 1.50 \u00b1 0.71 | 100.00 \u00b1 70.71 | 31.00 \u00b1 1.41 "
        "| 28.50 \u00b1 0.71 | 2.50 \u00b1 0.71 | 21.00 \u00b1 1.41 | search 1.5 |",
        "| as-vit | 1 | 1.90 | 100.00 | 25.00 | 26.50 | -1.50 |  | growth 0.5 |",
    ]
    assert systems.SPACES.keys() == systems.SYSTEMS.keys()


def test_a_study_replaces_its_own_rows_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    ranking = importlib.import_module("bench.ranking")
    monkeypatch.setattr(ranking, "FILE", tmp_path / "judged.csv")
    columns = ["space", "ranking", "truth", "tau"]
    known = [["pit", "zen", "a", 0.1], ["pit", "zen", "b", 0.2], ["asvit", "zen", "a", 0.3]]
    pd.DataFrame([*known, ["pit", "plain", "a", 0.4]], columns=columns).to_csv(
        ranking.FILE, index=False
    )
    both = ranking.kept(pd.DataFrame([["pit", "zen", "a", 0.9]], columns=columns))
    assert sorted(both["tau"]) == [0.3, 0.4, 0.9]
    assert pd.read_csv(ranking.FILE).to_dict("list") == both.to_dict("list")


def test_what_can_be_added_is_that_of_the_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    ceiling = importlib.import_module("bench.ceiling")
    archs = spaces.get("autoformer-tiny").sample(1, 0) * 5
    rows = pd.DataFrame({"arch": archs, "c100_kd_acc": [70.0, 71.0, 72.0, 73.0, 79.0]})
    rows["c100_base_acc"] = rows["c100_kd_acc"] - [1.0, 2.0, 3.0, 4.0, 5.0]
    assert ceiling.distilled(rows, "c100").tolist() == [1.0, 2.0, 3.0, 4.0, 5.0]
    points, windows = ceiling.above_mean(rows, "autoformer-tiny", "c100_kd_acc")
    assert (points, windows) == (pytest.approx(79 - 73), 1)
    points, windows = ceiling.above_mean(rows[:4], "autoformer-tiny", "c100_kd_acc")
    assert math.isnan(points) and windows == 0, "four architectures are no window"
