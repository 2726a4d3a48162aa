"""Ctrl-C and SIGTERM, as a user and a scheduler send them to the program."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs POSIX signals")

SEARCH = ["search", "--space", "pit", "--proxies", "weight_norm", "params", "--batch-size", "2"]
SLOWLY = """
import sys, time
import tvtfast
from tvtfast import proxies
from tvtfast.__main__ import program
slow = lambda inputs: time.sleep(0.05) or float(inputs.params)
proxies.register(tvtfast.proxies.Proxy("slow", slow))
sys.argv[0] = "tvtfast"
sys.exit(program())
"""


@pytest.fixture(autouse=True, scope="module")
def heard():
    """Programs hear Ctrl-C, also where the tests run in the background of a shell."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def start(*arguments, cwd, code=None):
    command = [sys.executable, *(("-c", code) if code else ("-m", "tvtfast")), *arguments]
    return subprocess.Popen(
        command,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition, process):
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("number", "status", "times"),
    [
        (signal.SIGTERM, 143, 1),
        pytest.param(signal.SIGINT, 130, 1, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, 130, 3, marks=pytest.mark.slow),
    ],
)
def test_a_search_is_ended_with_one_line(tmp_path, number, status, times):
    arguments = ["search", "--space", "pit", "--proxies", "slow", "--trials", "1000"]
    process = start(*arguments, "--output-dir", "run", cwd=tmp_path, code=SLOWLY)
    wait_for((tmp_path / "run" / "scores.sqlite").exists, process)
    time.sleep(0.2)
    for _ in range(times):
        process.send_signal(number)
        time.sleep(0.05)
    _, errors = process.communicate(timeout=60)
    # a shell shows the same where the last one comes as Python is at its end
    assert process.returncode in (status, -number), errors
    assert "Traceback" not in errors and errors.count("tvtfast: interrupted") == 1
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "interrupted"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("seconds", [0.15, 0.6, 1.2])
def test_while_it_imports(tmp_path, number, seconds):
    """The handlers are there as soon as Python runs the program; nothing is shown but a line."""
    process = start(*SEARCH, "--output-dir", "run", cwd=tmp_path)
    # handlers are set before anything large is imported
    wait_for(lambda: handles_termination(process.pid), process)
    time.sleep(seconds)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number, errors
    assert "Traceback" not in errors and errors.count("tvtfast: interrupted") == 1


def handles_termination(pid):
    """Whether a process has a handler of its own for SIGTERM, which Python sets none for."""
    with open(f"/proc/{pid}/status") as lines:
        caught = next(line for line in lines if line.startswith("SigCgt"))
    return int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1


def test_a_second_signal_that_comes_later_ends_it_at_once_with_its_children(tmp_path):
    code = """
import subprocess, sys, time
from tvtfast.common.signals import run_program

def program():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        print(child.pid, flush=True)
        time.sleep(600)
    finally:
        time.sleep(600)

run_program(program)
"""
    process = start(cwd=tmp_path, code=code)
    child = psutil.Process(int(process.stdout.readline()))
    signals = 0
    while process.poll() is None and signals < 20:  # a busy machine may deliver two together
        process.send_signal(signal.SIGINT)
        signals += 1
        time.sleep(1.2)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in errors
    assert "stopped at once" in errors and signals > 1
    assert not psutil.wait_procs([child], timeout=20)[1]


@pytest.mark.slow
def test_workers_end_with_a_terminated_training(tmp_path):
    arguments = ["teacher", "--arch", "resnet8", "--epochs", "50", "--loading-workers", "2"]
    process = start(*arguments, "--output-dir", "teacher", "--device", "cpu", cwd=tmp_path)
    wait_for((tmp_path / "teacher" / "last.pt").exists, process)
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 2
    process.terminate()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143 and "Traceback" not in errors, errors
    assert not psutil.wait_procs(children, timeout=20)[1]
    assert json.loads((tmp_path / "teacher" / "run.json").read_text())["status"] == "interrupted"


def test_what_was_ignored_stays_ignored(tmp_path):
    code = """
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
from tvtfast.common.signals import run_program
run_program(lambda: print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN) or 0)
"""
    process = start(cwd=tmp_path, code=code)
    assert process.communicate(timeout=60)[0].strip() == "True"
