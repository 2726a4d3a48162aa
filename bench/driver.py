"""What one process does for candidates that others score: ``python -m bench.driver``.

Candidates are scored by `tvtfast.Scorer`, as those of a search are, with a proxy that computes
nothing. Workers run in this process, one after the other, and their processor time does not count:
what is left is all that a process does for its workers: checks, prefix tree, units, results,
ledger, store and table. All workers that have a unit are ready when they are asked, as those of a
process that cannot keep up are. Times are processor time, medians of rounds, each with a store of
its own on the disk. What an operating system takes for pipes is not in it.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

import tvtfast
from bench.machine import machine
from tvtfast import spaces
from tvtfast.proxies import Proxy
from tvtfast.scoring.executors import Executor
from tvtfast.scoring.executors.base import Begun, Context, Event, Returned, Worker
from tvtfast.scoring.executors.parcel import pack, unpack, versions

SPACE = "autoformer-tiny"


def params(inputs: Any) -> float:
    """A number that costs nothing."""
    return float(inputs.params)


STAND_IN = Proxy(
    name="stand_in", higher_is_better=True, needs=frozenset({"weights"}), compute=params
)


class Ready(Executor):
    """Workers of this process, which are all ready when they are asked.

    Attributes:
        worked: Processor time that they took.
    """

    def __init__(self, workers: int) -> None:
        super().__init__(workers)
        self.worked = 0.0

    def start(self) -> Worker:
        return _Worker(self)

    def events(self, workers: Sequence[Worker]) -> list[tuple[Worker, Event]]:
        return [(worker, worker.event()) for worker in workers if isinstance(worker, _Worker)]


class _Worker:
    def __init__(self, executor: Ready) -> None:
        self._executor, self._context, self._unit = executor, Context(None), b""

    def give(self, context: Context, unit: bytes) -> None:
        self._context, self._unit = context, unit

    def event(self) -> Event:
        if not self._unit:
            return Begun(versions())
        begin = time.process_time()
        done = pack(unpack(self._unit).run(self._context.value))
        self._executor.worked += time.process_time() - begin
        return Returned(done)

    def end(self) -> None:
        """Nothing is to be ended."""


def seconds(archs: list[Any], workers: int) -> tuple[float, float]:
    """Processor time until all scores are kept in a new store, and of the table."""
    executor = Ready(workers)
    with (
        tempfile.TemporaryDirectory() as folder,
        tvtfast.Scorer(
            space=SPACE,
            proxies=[STAND_IN],
            executor=executor,
            store=Path(folder) / "scores.sqlite",
            img_size=224,
            num_classes=100,
            progress=False,
        ) as scorer,
    ):
        scorer(archs[:1])  # caches are filled
        executor.worked = 0.0
        begin = time.process_time()
        table = scorer(archs[1:])
        scored = time.process_time()
        table.to_pandas()
        return scored - begin - executor.worked, time.process_time() - scored


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.driver", description=__doc__)
    parser.add_argument("--candidates", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 64])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(machine())
    print("\n| candidates | workers | scores, us a candidate | table, us a candidate |")
    print("| --- | --- | --- | --- |")
    for count in options.candidates:
        archs = spaces.get(SPACE).sample(count + 1, 0)
        for workers in options.workers:
            found = [seconds(archs, workers) for _ in range(options.rounds)]
            scores, table = (
                1e6 * statistics.median(one) / count for one in zip(*found, strict=True)
            )
            print(f"| {count:,} | {workers} | {scores:.1f} | {table:.1f} |", flush=True)


if __name__ == "__main__":
    main()
