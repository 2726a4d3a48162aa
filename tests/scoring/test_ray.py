"""A cluster of Ray on this machine: killed, slow and full workers, and a driver that is resumed."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest

import tvtfast
from tvtfast import spaces
from tvtfast.data import frozen_batch

pytestmark = pytest.mark.slow
ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'tvtfast[ray]'")

TINY = spaces.get("autoformer-tiny")
HERE = Path(__file__).parent
PROXIES = ("teacher_aware", "weight_norm", "relation_cc")
VARIABLES = {
    "KILLED_ONCE": "once",
    "SLOW_WORKER": "slow",
    "FULL_DISK": "disk",
}


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Where the proxies of the tests leave a note, as the processes of the cluster know them."""
    folder = tmp_path_factory.mktemp("notes")
    return {name: str(folder / one) for name, one in VARIABLES.items()}


@pytest.fixture(scope="module")
def cluster(places):
    """Room for three workers, whose processes find tvtfast where this one does."""
    path = os.pathsep.join([str(HERE), *sys.path])
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**places, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}.items():
            patch.setenv(name, value)
        patch.syspath_prepend(str(HERE))
        begin()
        yield
        ray.shutdown()


def begin(tries=4):
    """Ray gives its processes 30 seconds to begin, which a busy machine does not keep."""
    while not ray.is_initialized():
        tries -= 1
        try:
            ray.init(address="local", num_cpus=3, include_dashboard=False, log_to_driver=False)
        except Exception:
            ray.shutdown()
            if not tries:
                raise


@pytest.fixture(scope="module")
def settings(teacher):
    images = frozen_batch("digits", 4)
    return {"space": TINY, "images": images, "patch_size": 16, "teacher": teacher}


@pytest.fixture(scope="module")
def archs():
    return TINY.sample(8, 0)


@pytest.fixture(scope="module")
def expected(settings, archs, one_thread):
    return tvtfast.score(archs, proxies=PROXIES, **settings).to_pandas()


@pytest.mark.parametrize("workers", [2, 3])
def test_the_table_is_that_of_one_process(cluster, places, settings, archs, expected, workers):
    """One worker is killed in the middle, one is slow, and the disk of one is full."""
    from tvtfast.scoring.executors.ray_cluster import RayCluster

    units = importlib.import_module("worker_units")
    for place in places.values():
        Path(place).unlink(missing_ok=True)
    given = {**settings, "proxies": (*PROXIES, units.once, units.slow, units.full_disk)}
    with RayCluster(workers=workers) as executor:
        table = tvtfast.score(archs, executor=executor, **given)
    assert ray.is_initialized(), "a session that was there before stays"
    found = table.to_pandas()
    pd.testing.assert_frame_equal(found[list(expected)], expected, check_exact=True)
    want = (expected["params"] % 1009).astype("float64")
    assert (found["once"] == want).all() and (found["slow"] == want).all()
    assert Path(places["KILLED_ONCE"]).exists()
    failed = table.status.index[table.status["full_disk"] == "error"]
    assert len(failed) == 1 and "No space left" in table.reasons["full_disk"][failed[0]]


def test_as_many_workers_as_there_is_room_for(cluster):
    from tvtfast.scoring.executors import chosen

    assert chosen("ray").workers == 3


def test_no_cluster_at_an_address():
    code = (
        "from tvtfast.scoring.executors import ExecutorError, chosen\n"
        "try:\n    chosen('ray://localhost:1')\n"
        "except ExecutorError as error:\n    print(error)"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert finished.stdout.startswith("there is no cluster of Ray at ray://localhost:1")


@pytest.mark.parametrize("whose", ["ray", "a cluster that stays"])
def test_a_killed_driver_leaves_nobody_behind_and_is_resumed(
    cluster, tmp_path, kill_once, monkeypatch, whose
):
    """Whether the cluster is the driver's own and ends with it, or goes on without it."""
    monkeypatch.setenv("SLOW_WORKER", str(tmp_path / "slow"))
    scored = importlib.import_module("driver_program").scored
    address = "ray" if whose == "ray" else ray.get_runtime_context().gcs_address
    with tempfile.TemporaryDirectory(dir="/tmp") as short:  # names of sockets have a limit
        if whose == "ray":
            monkeypatch.setenv("RAY_TMPDIR", short)
        command = [sys.executable, str(HERE / "driver_program.py")]
        process = subprocess.Popen([*command, str(tmp_path / "run"), address])
        begun = []

        def reached():
            begun[:] = psutil.Process(process.pid).children(recursive=True)
            return scored(tmp_path / "run") >= 4

        kill_once(process, reached)
        assert not psutil.wait_procs(begun, timeout=180)[1]
        assert bool(begun) == (whose == "ray")
        assert_idle()
        assert 4 <= scored(tmp_path / "run") < 40
        subprocess.run([*command, str(tmp_path / "run"), address], check=True)
    subprocess.run([*command, str(tmp_path / "whole"), "1"], check=True)
    for name in ("scores.csv", "best.json"):
        assert (tmp_path / "run" / name).read_text() == (tmp_path / "whole" / name).read_text()
    assert_idle()


def assert_idle(seconds=60.0):
    """The cluster of the tests has all its cores back."""
    deadline = time.monotonic() + seconds
    while ray.available_resources().get("CPU") != 3:
        assert time.monotonic() < deadline
        time.sleep(0.5)
