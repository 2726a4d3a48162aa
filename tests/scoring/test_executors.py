"""Scores by several workers: the same table, whoever ends, is slow or comes first."""

from __future__ import annotations

import importlib
import os
import pickle
import random
import subprocess
import sys
from pathlib import Path

import pandas as pd
import psutil
import pytest

import tvtfast
from tvtfast import spaces
from tvtfast.data import frozen_batch
from tvtfast.population.parts import parts
from tvtfast.population.tree import prefix_tree
from tvtfast.proxies import Proxy
from tvtfast.scoring.executors import ExecutorError, Processes
from tvtfast.scoring.executors.parcel import versions
from tvtfast.scoring.store_file import ScoreFile

TINY = spaces.get("autoformer-tiny")
PROXIES = ("teacher_aware", "weight_norm", "relation_cc", "az_expressivity", "params")


@pytest.fixture(scope="module")
def units():
    """A module that worker processes can import, too."""
    sys.path.insert(0, str(Path(__file__).parent))
    yield importlib.import_module("worker_units")
    sys.path.remove(str(Path(__file__).parent))


@pytest.fixture(scope="module")
def archs():
    return TINY.sample(7, 0)


@pytest.fixture(scope="module")
def settings(teacher):
    images = frozen_batch("digits", 4)
    return {"space": TINY, "images": images, "patch_size": 16, "teacher": teacher}


@pytest.fixture(scope="module")
def expected(settings, archs, one_thread):
    return tvtfast.score(archs, proxies=PROXIES, **settings).to_pandas()


@pytest.mark.parametrize("workers", [1, 2, 3, 5])
def test_the_table_is_the_same_for_any_number_of_workers(
    simulated, settings, archs, expected, workers
):
    executor = simulated(workers, seed=workers)
    table = tvtfast.score(archs, proxies=PROXIES, executor=executor, **settings)
    pd.testing.assert_frame_equal(table.to_pandas(), expected, check_exact=True)
    assert executor.most == min(workers, executor.given), "all of them worked"
    assert executor.contexts <= workers, "images and teacher are sent once to each"


def test_workers_that_end_change_nothing(simulated, settings, archs, expected, tmp_path):
    executor = simulated(3, seed=1, deaths={0, 4, 7})
    scorer = tvtfast.Scorer(
        proxies=PROXIES, executor=executor, store=tmp_path / "scores.sqlite", **settings
    )
    table = scorer(archs)
    pd.testing.assert_frame_equal(table.to_pandas(), expected, check_exact=True)
    assert scorer.evaluated == len(archs), "a unit that was scored twice counts once"
    given = executor.given
    scorer(archs)
    assert executor.given == given, "all of it was stored"


def test_equal_candidates_are_one_unit(simulated, settings, archs, expected):
    executor = simulated(2)
    twice = [archs[0], archs[1], archs[0]]
    table = tvtfast.score(twice, proxies=PROXIES, executor=executor, **settings).to_pandas()
    rows = expected.iloc[[0, 1, 0]].reset_index(drop=True)
    pd.testing.assert_frame_equal(table, rows, check_exact=True)
    assert executor.given == 2


def test_modules_and_proxies_of_single_candidates(simulated, settings, archs):
    modules = [tvtfast.build(arch, space=TINY, img_size=32, patch_size=16) for arch in archs[:2]]
    modules[0].train()
    mixed = [modules[0], archs[2], modules[1]]
    given = {"proxies": ("naswot", "teacher_aware"), "init_seeds": 2, **settings}
    alone = tvtfast.score(mixed, **given)
    shared = tvtfast.score(mixed, executor=simulated(2, seed=3), **given)
    pd.testing.assert_frame_equal(shared.to_pandas(), alone.to_pandas(), check_exact=True)
    assert [module.training for module in modules] == [True, False]


def test_the_published_protocol(simulated, settings, archs):
    given = {"proxies": ("teacher_aware", "weight_norm"), "protocol": "paper", **settings}
    alone = tvtfast.score(archs[:3], **given).to_pandas()
    shared = tvtfast.score(archs[:3], executor=simulated(2, seed=3), **given).to_pandas()
    pd.testing.assert_frame_equal(shared, alone, check_exact=True)


def test_a_unit_that_ends_two_workers_is_tried_candidate_by_candidate(
    simulated, settings, archs, expected, monkeypatch
):
    """All candidates are one unit, which ends two workers; then the first does so by itself."""
    monkeypatch.setattr("tvtfast.scoring.distribution._UNITS", 1)
    executor = simulated(1, deaths={0, 1, 2, 3})
    table = tvtfast.score(archs, proxies=PROXIES, executor=executor, **settings)
    assert executor.given == 2 + 2 + len(archs) - 1
    (row,) = table.status.index[table.status["teacher_aware"] == "error"]
    assert table.reasons["teacher_aware"][row] == "it ended two workers: it was told to"
    assert table.status["weight_norm"][row] == "ok", "a sum over layers is computed here"
    found, whole = table.to_pandas().drop(index=row), expected.drop(index=row)
    pd.testing.assert_frame_equal(found, whole, check_exact=True)
    with pytest.raises(tvtfast.ScoringError, match="it ended two workers: it was told to"):
        again = simulated(1, deaths={0, 1, 2, 3})
        tvtfast.score(archs, proxies=PROXIES, executor=again, on_error="raise", **settings)


def test_errors_of_workers_are_those_of_this_process(simulated, settings, archs):
    def wrong(inputs):
        raise ZeroDivisionError("by nothing")

    given = {"proxies": (Proxy("wrong", wrong),), **settings}
    with pytest.raises(ExecutorError, match="functions and classes that a module has by name"):
        tvtfast.score(archs, executor=simulated(2), **given)
    with pytest.raises(ExecutorError, match="a worker has .*torch 0.1, and this process"):
        other = simulated(2, found=versions() | {"torch": "0.1"})
        tvtfast.score(archs, executor=other, proxies="teacher_aware", **settings)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        *((wrong, "executor is ") for wrong in (0, -1, True, 1.5)),
        ("dask", "executor is 'dask'; give a number of processes, 'ray'"),
        ("rays://x", "executor is 'rays://x'"),
    ],
)
def test_what_an_executor_may_not_be(given, message):
    with pytest.raises(ValueError, match=message):
        tvtfast.scoring.Scoring(executor=given)


def test_races_are_the_same(simulated, settings, archs, tmp_path):
    given = {**settings, "images": frozen_batch("digits", 8), "proxies": PROXIES[:2]}
    alone = tvtfast.Scorer(**given).race(archs, top_k=2)
    executor = simulated(3, seed=5, deaths={2})
    with tvtfast.Scorer(executor=executor, store=tmp_path / "scores.sqlite", **given) as scorer:
        shared = scorer.race(archs, top_k=2)
        assert shared.race == alone.race and executor.given > 1
        pd.testing.assert_frame_equal(shared.to_pandas(), alone.to_pandas(), check_exact=True)
        pd.testing.assert_frame_equal(shared.status, alone.status)
        handed_out = executor.given
        scorer.race(archs, top_k=2)
        assert executor.given == handed_out, "scores of single images are stored, too"


def test_generations_use_the_same_workers(simulated, settings, one_thread):
    given = {"trials": 8, "proxies": ("teacher_aware",), **settings}
    del given["space"]
    given["strategy"] = tvtfast.strategies.configured("evolution", {"population": 4, "parents": 2})
    alone = tvtfast.search("autoformer-tiny", **given)
    executor = simulated(2, seed=1)
    shared = tvtfast.search("autoformer-tiny", executor=executor, **given)
    found, whole = shared.table.to_pandas(), alone.table.to_pandas()
    pd.testing.assert_frame_equal(found, whole, check_exact=True)
    assert shared.best == alone.best and executor.contexts <= 2


def test_parts_are_subtrees():
    many = TINY.sample(60, 1)
    paths = TINY.paths(many, img_size=32, patch_size=16)
    whole = parts(paths, range(60), 1, float("inf"))
    assert len(whole) == 1 and whole[0].rows == tuple(range(60))
    found = parts(paths, range(60), 12, float("inf"))
    assert sorted(row for part in found for row in part.rows) == list(range(60))
    assert [part.macs for part in found] == sorted((part.macs for part in found), reverse=True)
    shuffled = random.Random(0).sample(range(60), 60)
    assert parts(paths, shuffled, 12, float("inf")) == found
    for part in found:
        assert part.macs == tree_macs(prefix_tree(paths, part.rows))
        assert part.macs <= whole[0].macs / 12 or len(part.rows) == 1
    # a cut costs the beginnings that are computed again
    assert whole[0].macs <= sum(part.macs for part in found) <= 1.2 * whole[0].macs
    single = parts(paths, range(60), 1, 1.0)
    assert sorted(part.rows for part in single) == [(row,) for row in range(60)]


def tree_macs(tree):
    return sum(tree.steps[step].macs for step in tree.step if step >= 0)


def test_results_that_are_ready_together_are_one_commit(
    together, settings, archs, expected, tmp_path, monkeypatch
):
    commits = []
    put = ScoreFile.put
    monkeypatch.setattr(
        ScoreFile, "put", lambda self, scores: commits.append(put(self, list(scores)))
    )
    given = {"proxies": PROXIES, "store": tmp_path / "scores.sqlite", **settings}
    executor = together(3)
    table = tvtfast.score(archs, executor=executor, **given).to_pandas()
    pd.testing.assert_frame_equal(table, expected, check_exact=True)
    assert executor.given == len(archs) and len(commits) == -(-len(archs) // 3)


def test_a_unit_that_fails_costs_no_result_of_others(together, units):
    """Those that were ready with it come first; no further unit is handed out."""
    executor, found = together(2), []
    with pytest.raises(ValueError, match="no such thing"):
        for outcome in executor.run({"factor": 10}, [units.Tell(3), units.Fail(), units.Tell(4)]):
            found.append(outcome.result[:2])
    assert found == [(3, 30)] and executor.given == 2


def test_nobody_waits_until_results_are_seen_to(together, units):
    executor = together(1)
    outcomes = executor.run({"factor": 10}, [units.Tell(number) for number in range(3)])
    assert next(outcomes).result[:2] == (0, 0) and executor.given == 2
    outcomes.close()


def test_a_process(units):
    """It keeps what units share, and ends with its executor."""
    with Processes(1) as executor:
        outcomes = list(executor.run({"factor": 10}, [units.Tell(3), units.Tell(4)]))
        (pid,) = {outcome.result[2] for outcome in outcomes}
        assert [outcome.result[:2] for outcome in outcomes] == [(3, 30), (4, 40)]
        assert psutil.pid_exists(pid) and pid != os.getpid()
    assert not psutil.pid_exists(pid)
    assert pickle.loads(pickle.dumps(executor)).workers == 1


@pytest.mark.slow
def test_processes_that_end(units, tmp_path):
    """One that is killed is replaced; none outlives its executor."""
    context, seen = {"factor": 10}, set()
    with Processes(2) as executor:
        work = [units.Kill(0, tmp_path, 1), *(units.Tell(number, 0.05) for number in range(1, 9))]
        outcomes = {outcome.unit: outcome.result for outcome in executor.run(context, work)}
        assert {unit: found[:2] for unit, found in outcomes.items()} == {
            number: (number, 10 * number) for number in range(9)
        }
        seen |= {found[2] for found in outcomes.values()}
        assert len(seen) <= 3 and len(list(tmp_path.iterdir())) == 1, "one was killed, once"
        (lost,) = executor.run(context, [units.Kill(1, tmp_path, 9)])
        assert lost.unit == 0 and lost.lost == "its process was ended by SIGKILL"
        with pytest.raises(RuntimeError, match="OwnError: no such thing") as raised:
            list(executor.run(context, [units.Fail()]))
        assert "worker_units.py" in str(raised.value.__cause__)
        waiting = executor.run(context, [units.Tell(1), units.Tell(2, 600.0)])
        seen.add(next(waiting).result[2])
        waiting.close()
        assert len(executor._crew) <= 1, "who stops early waits for nobody"
    assert not any(psutil.pid_exists(pid) for pid in seen)


@pytest.mark.slow
def test_processes_score(units, settings, archs, expected, tmp_path, monkeypatch):
    """A worker that is killed, one that is slow and one whose disk is full."""
    monkeypatch.setenv("KILLED_ONCE", str(tmp_path / "once"))
    monkeypatch.setenv("SLOW_WORKER", str(tmp_path / "slow"))
    monkeypatch.setenv("FULL_DISK", str(tmp_path / "disk"))
    monkeypatch.setenv("DEADLY_PARAMS", str(int(expected["params"][4])))
    given = {**settings, "proxies": (*PROXIES, units.once, units.slow)}
    want = (expected["params"] % 1009).astype("float64")
    with Processes(2) as executor:
        table = tvtfast.score(archs, executor=executor, **given)
        found = table.to_pandas()
        pd.testing.assert_frame_equal(found[list(expected)], expected, check_exact=True)
        assert (found["once"] == want).all() and (found["slow"] == want).all()
        given |= {"proxies": (units.deadly, units.full_disk)}
        table = tvtfast.score(archs, executor=executor, **given)
    reason = "it ended two workers: its process was ended by SIGKILL"
    assert table.reasons["deadly"][4] == reason
    assert (table.status["deadly"].drop(index=4) == "ok").all()
    failed = table.status["full_disk"] == "error"
    assert failed.sum() == 2 and failed[4]
    (row,) = (row for row in failed.index[failed] if row != 4)
    assert "No space left on device" in table.reasons["full_disk"][row]


@pytest.mark.slow
def test_a_killed_driver_leaves_nobody_behind_and_is_resumed(
    units, tmp_path, kill_once, monkeypatch
):
    monkeypatch.setenv("SLOW_WORKER", str(tmp_path / "slow"))
    scored = importlib.import_module("driver_program").scored
    program = Path(__file__).with_name("driver_program.py")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, program, tmp_path / "run", "2"], env=environment)
    workers = []

    def reached():
        workers[:] = psutil.Process(process.pid).children(recursive=True)
        return scored(tmp_path / "run") >= 4

    kill_once(process, reached)
    gone, alive = psutil.wait_procs(workers, timeout=60)
    assert len(gone) >= 2 and not alive
    assert 4 <= scored(tmp_path / "run") < 40
    for folder, number in (("run", "3"), ("whole", "1")):
        command = [sys.executable, program, tmp_path / folder, number]
        subprocess.run(command, env=environment, check=True)
    for name in ("scores.csv", "best.json"):
        assert (tmp_path / "run" / name).read_text() == (tmp_path / "whole" / name).read_text()
