"""Kill long commands at random moments, continue them, and compare with runs nobody disturbed.

As a program: ``python tests/kills.py --kills 60 --seed 0`` spreads that many over the commands and
prints what came of each. Every command is started as a user starts it. What is compared byte for
byte, and what by its content alone, says `content`.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
SEED_TOPOLOGY = "8,2,3|4,1,2|4,1,4|4,1,6|32"
SIZES = ("--img-size", "32", "--patch-size", "16")
TRAINING = ("--batch-size", "32", "--device", "cpu", "--augmentation", "light")
COMMANDS: dict[str, tuple[str, ...]] = {
    "search": ("--teacher", "teacher", *SIZES, "--trials", "40", "--batch-size", "8"),
    "teacher": ("--arch", "resnet8", "--img-size", "16", "--epochs", "20", *TRAINING),
    "distill": ("--arch", "best.json", "--teacher", "teacher", "--epochs", "6", *TRAINING),
    "grow": (
        *("--arch", SEED_TOPOLOGY, "--img-size", "32", "--batch-size", "2", "--init-seeds", "1"),
        *("--stop-params", "1.2e7", "--max-params", "2e7"),
    ),
    "supernet": (
        *("--space", "vitas-deit", *SIZES, "--epochs", "4", "--warmup-epochs", "1", *TRAINING),
    ),
}
"""Flags of every command, for data and teacher of `prepare`."""

_LIMIT = 300.0


@dataclass(frozen=True)
class Kill:
    """One process that was killed.

    Args:
        command: Which command it ran.
        number: The signal.
        seconds: After how many seconds of work.
        status: What the process ended with.
        record: Status in ``run.json`` afterwards.
        trouble: What should not have been, in words.
    """

    command: str
    number: signal.Signals
    seconds: float
    status: int
    record: str
    trouble: str = ""


def prepare(folder: Path) -> None:
    """Images, a teacher and an architecture for all commands."""
    from tvtfast import initialize_, load_teacher, spaces
    from tvtfast.data import load_dataset
    from tvtfast.models import CifarResNet

    arrays = {}
    for split, count in (("train", 128), ("test", 40)):
        digits = load_dataset("digits", split=split)
        arrays[f"x_{split}"] = np.stack([np.asarray(digits.images[i]) for i in range(count)])
        arrays[f"y_{split}"] = digits.labels[:count].numpy()
    np.savez(folder / "mine.npz", **arrays)
    teacher = load_teacher(initialize_(CifarResNet(8, 10), seed=1), input_size=16)
    teacher.save(folder / "teacher", dataset="mine", accuracy=10.0)
    space = spaces.get("autoformer-tiny")
    arch = space.to_dict(space.sample(1, 0)[0])
    options = {"img_size": [32, 32], "patch_size": 16, "num_classes": 10}
    best = {"space": space.name, "arch": arch, "model_options": options}
    (folder / "best.json").write_text(json.dumps(best))


def start(command: str, folder: Path) -> subprocess.Popen[str]:
    """Start a command whose output folder is ``run`` in a folder of its own."""
    folder.mkdir(exist_ok=True)
    for name in ("mine.npz", "teacher", "best.json"):
        if not (folder / name).exists():
            (folder / name).symlink_to(folder.parent / name)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background of a shell
        signal.signal(signal.SIGINT, signal.default_int_handler)
    flags = ("--data-set", "mine.npz", *COMMANDS[command], "--output-dir", "run")
    return subprocess.Popen(
        [sys.executable, "-m", "tvtfast", command, *flags],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(command: str, folder: Path) -> str:
    """Run a command to its end; returns what it said on standard error."""
    _, errors = start(command, folder).communicate(timeout=_LIMIT)
    record = _record(folder)
    assert record.get("status") == "finished", errors
    return errors


def work_seconds(command: str, folder: Path) -> float:
    """Run a command to its end; returns how long it worked, without imports and set-up."""
    process = start(command, folder)
    begin = _wait_for_work(process, folder)
    _, errors = process.communicate(timeout=_LIMIT)
    assert process.returncode == 0, errors
    return time.monotonic() - begin


def kill(
    command: str, folder: Path, number: signal.Signals, seconds: float, *, working: bool = True
) -> Kill | None:
    """Start a command and kill it; ``None`` where it had ended before.

    Args:
        command: The command.
        folder: Where it runs.
        number: The signal.
        seconds: After so many seconds.
        working: Counted from the begin of work, and not of the process.
    """
    died = _record(folder).get("status") == "running"
    process = start(command, folder)
    if working:
        _wait_for_work(process, folder)
    time.sleep(seconds)
    process.send_signal(number)
    _, errors = process.communicate(timeout=_LIMIT)
    if process.returncode == 0:
        return None
    record = str(_record(folder).get("status"))
    trouble = []
    # the interpreter has no handler at its very beginning and end
    if process.returncode not in (-number, 128 + number):
        trouble.append(f"ended with {process.returncode}: {errors}")
    if "Traceback" in errors:
        trouble.append(f"showed a traceback: {errors}")
    if working and number != signal.SIGKILL and record not in ("interrupted", "finished"):
        trouble.append(f"left status {record}")
    if working and died and "stopped without a word" not in errors:
        trouble.append(f"did not tell of the dead run: {errors}")
    return Kill(command, number, seconds, process.returncode, record, "; ".join(trouble))


def kills(
    command: str, folder: Path, numbers: Sequence[signal.Signals], seed: int, *, a_run: int = 4
) -> Iterator[Kill]:
    """Kill a command once per signal, several times in each run, and compare every run in the end.

    Raises:
        AssertionError: A run did not end, or its results differ.
    """
    chance = random.Random(f"{command} {seed}")
    whole = folder / f"{command}-whole"
    seconds = work_seconds(command, whole)
    expected = contents(whole / "run")
    left, count = list(numbers), 0
    while left:
        count += 1
        broken = folder / f"{command}-{count}"
        for _ in range(min(a_run, len(left))):
            working = chance.random() > 0.15
            longest = 1.5 * seconds / a_run if working else 5.0
            found = kill(command, broken, left[0], chance.uniform(0, longest), working=working)
            if found is None:
                break
            left.pop(0)
            yield found
        finish(command, broken)
        found_contents = contents(broken / "run")
        differing = sorted(
            name
            for name in expected.keys() | found_contents.keys()
            if expected.get(name) != found_contents.get(name)
        )
        assert not differing, f"{broken}: {', '.join(differing)} differ from {whole}"


def contents(folder: Path) -> dict[str, Any]:
    """What is to be equal of all files of a folder.

    The page of the running work and its script are none of them: it has times, and short runs have
    none.
    """
    files = (path for path in folder.rglob("*") if path.is_file())
    shown = (path for path in files if path.parent.name != "live")
    paths = sorted(path for path in shown if path.name != "plotly.min.js")
    return {str(path.relative_to(folder)): content(path) for path in paths}


def content(path: Path) -> Any:
    """What is to be equal of a file: every byte, but for what tells how long something took.

    ``run.json``: settings and status. ``log.csv``, ``last.pt``: all but what was
    measured.
    ``scores.sqlite``: all but ``seconds``. ``report.html`` and ``timings.png`` show seconds, and
    are there.
    """
    if path.name in ("report.html", "timings.png"):
        return "is there"
    if path.name == "run.json":
        record = json.loads(path.read_text())
        return record["status"], record["settings"]
    if path.name == "log.csv":
        with path.open(newline="") as lines:
            return [_without_seconds(row) for row in csv.DictReader(lines)]
    if path.name == "last.pt":
        state = torch.load(path, weights_only=True)
        state["history"] = [_without_seconds(row) for row in state["history"]]
        return _plain(state)
    if path.name == "scores.sqlite":
        with closing(sqlite3.connect(path)) as connection:
            scores = "SELECT key, fields, value, status, reason FROM scores ORDER BY key"
            images = "SELECT key, images, scores FROM image_scores ORDER BY key, images"
            return [connection.execute(query).fetchall() for query in (scores, images)]
    return hashlib.sha256(path.read_bytes()).hexdigest()


_MEASURED = ("seconds", "images_per_second", "peak_host_mib")


def _without_seconds(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in _MEASURED}


def _plain(value: Any) -> Any:
    """A nested value with tensors as their bytes."""
    if isinstance(value, torch.Tensor):
        return str(value.dtype), tuple(value.shape), value.contiguous().numpy().tobytes()
    if isinstance(value, dict):
        return {name: _plain(entry) for name, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, (list, tuple)) else value


def _record(folder: Path) -> dict[str, Any]:
    path = folder / "run" / "run.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def _wait_for_work(process: subprocess.Popen[str], folder: Path) -> float:
    """Until the record names this process, or the process is gone; returns the time."""
    deadline = time.monotonic() + _LIMIT
    while process.poll() is None and time.monotonic() < deadline:
        if _record(folder).get("process", {}).get("pid") == process.pid:
            break
        time.sleep(0.01)
    return time.monotonic()


def main() -> None:
    """Print every kill, and what came of all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=60, help="spread over the commands")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--commands", nargs="+", default=list(COMMANDS), choices=list(COMMANDS))
    options = parser.parse_args()
    each = -(-options.kills // len(options.commands))
    numbers = [SIGNALS[index % len(SIGNALS)] for index in range(each)]
    troubles = 0
    with tempfile.TemporaryDirectory(prefix="tvtfast-kills-") as given:
        prepare(Path(given))
        for command in options.commands:
            for found in kills(command, Path(given), numbers, options.seed):
                troubles += bool(found.trouble)
                print(
                    f"{command:9} {found.number.name:8} after {found.seconds:5.2f} s: ended with "
                    f"{found.status}, record says {found.record} {found.trouble}",
                    flush=True,
                )
            print(f"{command:9} {each} kills, results equal to an undisturbed run's", flush=True)
    print(f"{each * len(options.commands)} kills, {troubles} with trouble")
    sys.exit(bool(troubles))


if __name__ == "__main__":
    main()
