"""``--workers`` of trainings: the weights that ``torchrun`` trains, and nobody is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tvtfast.cli import main

TRAINING = ("teacher", "--arch", "resnet8", "--img-size", "16", "--batch-size", "64")
TRAINING += ("--device", "cpu", "--quiet", "--workers", "2")
SPACE = {"supernet": (), "teacher": (), "distill": ("--arch", "deit_tiny_patch16_224")}


@pytest.mark.parametrize("command", SPACE)
def test_what_workers_may_not_be(command, capsys, monkeypatch):
    assert main([command, *SPACE[command], "--workers", "0"]) == 2
    assert "--workers is 0; give a whole number of at least 1" in capsys.readouterr().err
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert main([command, *SPACE[command], "--workers", "2"]) == 2
    told = "torchrun began 3 processes, and --workers asks for 2; leave one of them out"
    assert told in capsys.readouterr().err


def environment():
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def train(folder: Path, *arguments, launcher=()):
    flags = [*launcher, "-m", "tvtfast", *TRAINING, "--epochs", "1", *arguments]
    return subprocess.run(
        [sys.executable, *flags, "--output-dir", folder],
        env=environment(),
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_weights_are_those_of_torchrun(tmp_path):
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    weights = []
    for folder, own in (("here", ()), ("torchrun", launcher)):
        done = train(tmp_path / folder, launcher=own)
        assert done.returncode == 0 and done.stdout.count("of the test images") == 1, done.stderr
        weights.append((tmp_path / folder / "model.safetensors").read_bytes())
    assert weights[0] == weights[1]


@pytest.mark.slow
def test_an_error_of_a_process_is_the_error(tmp_path):
    done = train(tmp_path / "run", "--data-set", "nonesuch")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("tvtfast: error: unknown data set 'nonesuch'; known: digits")
    assert done.stderr.count("\n") == 1, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "everybody", "status"), [("SIGINT", True, 130), ("SIGTERM", False, 143)]
)
def test_a_signal_ends_all(tmp_path, number, everybody, status):
    """A terminal sends Ctrl-C to all processes of the program, a scheduler SIGTERM to the first."""
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # not ignored, as behind a shell's &
    try:
        program = subprocess.Popen(
            [sys.executable, "-m", "tvtfast", *TRAINING, "--epochs", "500", "--output-dir", "run"],
            cwd=tmp_path,
            env=environment(),
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)
    deadline = time.monotonic() + 300
    while not (tmp_path / "run" / "log.csv").exists():
        assert program.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    children = psutil.Process(program.pid).children(recursive=True)
    assert len(children) >= 2
    send = os.killpg if everybody else os.kill
    send(program.pid, getattr(signal, number))
    _, errors = program.communicate(timeout=120)
    assert program.returncode == status and errors.count("tvtfast: interrupted;") == 1, errors
    assert errors.strip().count("\n") == 0, errors
    assert not psutil.wait_procs(children, timeout=30)[1]
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "interrupted"
