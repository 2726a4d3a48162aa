"""A million scores in one store: ``python -m bench.store``.

Scores go in as a search puts them, population by population, through `tvtfast.ScoreStore`; their
texts are those of architectures of autoformer-tiny, numbered. Then the file is measured, the best
hundred are asked for, known scores are looked up, and two searches run in processes of their own:
over an empty store and over a copy of the full one.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.machine import machine
from tvtfast import spaces
from tvtfast.scoring import ScoreStore
from tvtfast.scoring.cells import around_candidate, canonical
from tvtfast.scoring.store import STORE
from tvtfast.scoring.store_queries import best, contexts, opened

_FINGERPRINT = hashlib.sha256(b"").hexdigest()
_AROUND = around_candidate(
    {
        "proxy": "teacher_aware",
        "version": 1,
        "dtype": "float32",
        "device": "cpu",
        "protocol": "fixed",
        "init_seed": 0,
        "batch": [_FINGERPRINT, {"mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2]}, False],
        "teacher": _FINGERPRINT,
    }
)
_BEST = 100
_ROUNDS = 21
_SEARCH = """
import resource, sys, tvtfast
tvtfast.search("pit", proxies=["weight_norm"], trials=int(sys.argv[1]), images=None,
               run_dir=sys.argv[2], progress=False, patch_size=16)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
Row = tuple[str, str, float]


def rows(count: int, population: int) -> Iterator[list[Row]]:
    """Keys, candidates and values, population by population."""
    space = spaces.get("autoformer-tiny")
    archs = [space.to_dict(arch) for arch in space.sample(1000, 0)]
    draw = random.Random(0)
    start = hashlib.sha256(_AROUND[0].encode())
    for first in range(0, count, population):
        made = []
        for number in range(first, min(first + population, count)):
            arch = archs[number % len(archs)]
            text = canonical({"arch": arch, "number": number, "space": space.name})
            hashed = start.copy()
            hashed.update((text + _AROUND[1]).encode())
            made.append((hashed.hexdigest(), text, draw.random()))
        yield made


def fill(path: Path, count: int, population: int) -> tuple[float, float, list[str]]:
    """Seconds and CPU seconds of putting ``count`` scores, and some of their keys."""
    wall = cpu = 0.0
    keys: list[str] = []
    with ScoreStore(path) as store:
        for made in rows(count, population):
            started, used = time.perf_counter(), time.process_time()
            store.put_values(_AROUND, made, 0.01)
            wall += time.perf_counter() - started
            cpu += time.process_time() - used
            keys.append(made[0][0])
        started, used = time.perf_counter(), time.process_time()
    return wall + time.perf_counter() - started, cpu + time.process_time() - used, keys


def milliseconds(call: Callable[[], object]) -> float:
    """The median of rounds."""
    taken = []
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        call()
        taken.append(1e3 * (time.perf_counter() - started))
    return statistics.median(taken)


def search_peak(folder: Path, trials: int) -> float:
    """Most MiB that a search had resident."""
    finished = subprocess.run(
        [sys.executable, "-c", _SEARCH, str(trials), folder],
        check=True,
        capture_output=True,
        text=True,
    )
    return int(finished.stdout.split()[-1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.store", description=__doc__)
    parser.add_argument("--scores", type=int, default=1_000_000)
    parser.add_argument("--populations", type=int, nargs="+", default=[100, 1_000, 10_000])
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--folder", type=Path, default=None, help="on the disk to measure")
    options = parser.parse_args()
    print(f"{machine()}\n\n| what | figure |\n| --- | --- |")
    with tempfile.TemporaryDirectory(dir=options.folder) as made:
        folder = Path(made)
        full = folder / "full" / STORE
        for population in options.populations:
            shutil.rmtree(full.parent, ignore_errors=True)
            load = os.getloadavg()[0]
            wall, cpu, keys = fill(full, options.scores, population)
            _tell(
                f"rows/s, populations of {population:,}",
                f"{options.scores / cpu:,.0f} by CPU time, {options.scores / wall:,.0f} by the "
                f"clock at load {load:.1f}",
            )
        size = full.stat().st_size
        _tell("file, MB", f"{size / 1e6:.0f}, {size / options.scores:.0f} bytes a score")
        with opened(full) as file:
            (context,) = contexts(file)
            taken = milliseconds(lambda: best(file, context.number, _BEST))
            _tell(f"best {_BEST} of {options.scores:,}, ms", f"{taken:.2f}")
            some = random.Random(1).choices(keys, k=_BEST)
            _tell(f"{_BEST} known scores, ms", f"{milliseconds(lambda: file.get(some)):.2f}")
        peaks = {
            "an empty store": search_peak(folder / "empty", options.trials),
            f"{options.scores:,} scores": search_peak(full.parent, options.trials),
        }
        for name, peak in peaks.items():
            _tell(f"search of {options.trials:,} over {name}, peak MiB", f"{peak:.0f}")
        record = json.loads((full.parent / "run.json").read_text(encoding="utf-8"))
        assert record["status"] == "finished"


def _tell(what: str, figure: str) -> None:
    print(f"| {what} | {figure} |", flush=True)


if __name__ == "__main__":
    main()
