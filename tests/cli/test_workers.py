"""``--workers``, and what stands in its place under ``torchrun``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from tvtfast.cli import main


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("dask", "--workers is 'dask'; give a number of processes, 'ray' for a cluster"),
        ("0", "--workers is 0; give a whole number of at least 1"),
    ],
)
@pytest.mark.parametrize("command", ["search", "grow"])
def test_what_workers_may_not_be(command, given, message, capsys):
    needed = {"grow": ["--arch", "8,2,3|4,1,2|4,1,4|4,1,6|32", "--space", "asvit"]}
    assert main([command, *needed.get(command, []), "--workers", given]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("command", ["search", "score"])
def test_torchrun_is_refused_with_advice(command, monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert main([command, *{"score": ["--arch", "deit-tiny"]}.get(command, [])]) == 2
    message = "torchrun began 3 processes, and each would score all candidates; leave it out, and "
    assert f"{message}share the work by --workers 3" in capsys.readouterr().err


@pytest.mark.slow
def test_a_search_by_two_processes(tmp_path, capsys):
    common = ["search", "--space", "pit", "--proxies", "naswot", "weight_norm", "--trials", "4"]
    common += ["--batch-size", "2", "--quiet", "--json", "--output-dir"]
    for folder, workers in (("one", ["--workers", "1"]), ("two", ["--workers", "2"])):
        assert main([*common, str(tmp_path / folder), *workers]) == 0
        assert json.loads(capsys.readouterr().out)["candidates"] == 4
    scores = [(tmp_path / folder / "scores.csv").read_text() for folder in ("one", "two")]
    assert scores[0] == scores[1]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs POSIX signals")
def test_a_keystroke_ends_all_workers(tmp_path):
    """A terminal sends Ctrl-C to all processes of the program."""
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # not ignored, as behind a shell's &
    try:
        program = subprocess.Popen(
            [sys.executable, "-m", "tvtfast", "search", "--space", "pit", "--proxies", "naswot"]
            + ["--trials", "1000", "--batch-size", "2", "--workers", "2", "--output-dir", "run"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)
    workers = []
    deadline = time.monotonic() + 300
    while len(workers) < 2:
        assert program.poll() is None and time.monotonic() < deadline
        children = psutil.Process(program.pid).children()
        workers = [one for one in children if "spawn_main" in " ".join(one.cmdline())]
        time.sleep(0.1)
    time.sleep(2.0)
    os.killpg(program.pid, signal.SIGINT)
    _, errors = program.communicate(timeout=120)
    assert program.returncode == 130 and "Traceback" not in errors, errors
    assert not psutil.wait_procs(workers, timeout=30)[1]
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "interrupted"
