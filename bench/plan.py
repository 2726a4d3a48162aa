"""Forecasts and what came of them: ``python -m bench.plan FOLDER``.

Every command is planned and then run in the folder of its forecast, each in a process of its own.
The record of the run compares both: by the clock, and by processor time, which other work on the
machine makes hardly longer. A row is printed as soon as its run has ended.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench.machine import machine
from tvtfast import spaces

SPACE = "autoformer-tiny"
TOPOLOGY = "8,2,3|4,1,2|4,1,4|4,1,6|32"
COLUMNS = (
    "command",
    "forecast, s",
    "interval, s",
    "took, s",
    "error",
    "processor time: forecast, s",
    "took, s",
    "error",
    "load",
    "planning, s",
)


def commands(arch: str) -> dict[str, str]:
    """Commands by name, each of about a minute on two cores.

    Args:
        arch: Path of an architecture to distil.
    """
    search = f"search --space {SPACE} --img-size 64 --seed 1"
    return {
        "search": f"{search} --trials 250 --racing false",
        "race": f"{search} --trials 1500",
        "evolution": f"{search} --strategy evolution --trials 300",
        "distill": f"distill --arch {arch} --epochs 6 --batch-size 32",
        "supernet": "supernet --space vitas-deit --epochs 3 --batch-size 32",
        "grow": f"grow --arch {shlex.quote(TOPOLOGY)} --target-params 8e6 30e6",
        "run": "run --space pit --budget 3 --trials 100 --teacher-epochs 3 --epochs 2",
    }


def measure(name: str, command: str, folder: Path, seconds: float) -> list[str]:
    """A row: plan a command and run it."""
    given = [*shlex.split(command), "--data-set", "digits", "--output-dir", str(folder / name)]
    load = f"{os.getloadavg()[0]:.1f}"
    begun = time.perf_counter()
    _tvtfast("plan", *given, "--seconds", str(seconds))
    planning = time.perf_counter() - begun
    _tvtfast(*given)
    record: dict[str, Any] = json.loads((folder / name / "run.json").read_text(encoding="utf-8"))
    said = record["forecast"]
    shown = command.replace(str(folder) + os.sep, "")
    return [
        f"`{shown}`",
        f"{said['seconds']:.1f}",
        f"{said['low']:.1f} to {said['high']:.1f}",
        f"{said['took']:.1f}",
        f"{said['error']:+.0%}",
        f"{said['processor_seconds']:.1f}",
        f"{said['processor_took']:.1f}",
        f"{said['processor_error']:+.0%}",
        f"{load} to {os.getloadavg()[0]:.1f}",
        f"{planning:.0f}",
    ]


def _tvtfast(*given: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "tvtfast", *given, "--quiet"], check=True, stdout=subprocess.DEVNULL
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="of the runs; a new one")
    parser.add_argument("--seconds", type=float, default=10.0, help="of the small runs")
    parser.add_argument("--only", nargs="+", default=None, help="names of commands")
    args = parser.parse_args()
    args.folder.mkdir(parents=True)
    space = spaces.get(SPACE)
    (arch,) = space.sample(1, 0)
    path = args.folder / "arch.json"
    path.write_text(json.dumps({"space": SPACE, "arch": space.to_dict(arch)}), encoding="utf-8")
    chosen = commands(str(path))
    print(f"{machine()}\n\n| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}", flush=True)
    for name in args.only or chosen:
        row = measure(name, chosen[name], args.folder, args.seconds)
        print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
