"""How a search scales over workers, simulated: ``python -m bench.scale``.

Candidates of autoformer-tiny are sorted by their steps, so that those with a common beginning stand
side by side, and are cut into units of about equal cost: FLOPs after sharing, with the beginning of
a unit computed again. Units go to workers largest first, each to whoever is free; results come back
to one driver, which stores them one after the other. Efficiency is the time of one process that
shares everything and does the driver's work, too, over workers times makespan: above 1 for few
workers, which compute while the driver stores.

Costs are those of real architectures; rates are measured (bench/results/population-cpu.md for a
worker of two cores, bench/results/driver-cpu.md for the driver) or, where a table says so, assumed.
"""

from __future__ import annotations

import argparse
import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tvtfast import spaces
from tvtfast.spaces import Paths
from tvtfast.spaces.steps import Classifier

SPACE = "autoformer-tiny"
UNITS_PER_WORKER = 16
IMAGES = 32

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Rates:
    """What a machine does in a second.

    Args:
        name: Of the machine.
        flops: Of one worker, on units of work.
        hand_over: Seconds that a worker waits between two units.
        driver: Seconds that the driver takes for a candidate: checks, units, ledger, store, table.
        start: Seconds until a worker is ready: imports, weights, teacher and images.
    """

    name: str
    flops: float
    hand_over: float = 0.02
    driver: float = 64e-6
    start: float = 10.0


CPU = Rates("two CPU cores, fp32 (measured)", 93.2e9 / 0.4576)
GPU = Rates("a GPU at 140 TFLOP/s (assumed)", 140e12)


@dataclass(frozen=True)
class Units:
    """A population cut into units.

    Args:
        flops: Of every unit, with the beginnings that it computes again.
        candidates: Of every unit.
        shared: FLOPs of the whole population where everything that is common is computed once.
    """

    flops: Array
    candidates: npt.NDArray[np.int64]
    shared: float


def cut(paths: Paths, count: int, images: int = IMAGES) -> Units:
    """Cut a population into about ``count`` units of equal cost.

    Args:
        paths: The architectures.
        count: Units that are wanted.
        images: That every candidate sees.
    """
    macs = np.array(
        [0 if isinstance(step, Classifier) else step.macs for step in paths.steps] + [0],
        dtype=np.float64,
    )
    index = paths.index[np.lexsort(paths.index.T[::-1])]
    whole = 2 * images * macs[index]
    same = np.logical_and.accumulate(index[1:] == index[:-1], axis=1)
    new = np.concatenate([whole[:1].sum(1), np.where(same, 0, whole[1:]).sum(1)])
    shared = float(new.sum())
    place = np.minimum((new.cumsum() - new) * count / shared, count - 1).astype(np.int64)
    starts = np.flatnonzero(np.diff(place, prepend=-1))
    again = whole[starts].sum(1) - new[starts]
    return Units(
        np.add.reduceat(new, starts) + again, np.diff(np.append(starts, len(index))), shared
    )


def makespan(
    seconds: Sequence[float],
    candidates: Sequence[int],
    workers: int,
    rates: Rates,
    speeds: Sequence[float] | None = None,
) -> float:
    """Seconds until the driver has stored the last unit, from when workers are ready.

    Args:
        seconds: Of every unit.
        candidates: Of every unit.
        workers: How many there are.
        rates: Of hand-over and driver.
        speeds: Of every worker, relative to the usual; default all alike.
    """
    order = sorted(range(len(seconds)), key=lambda unit: -seconds[unit])
    free = [(0.0, worker) for worker in range(workers)]
    done = []
    for unit in order:
        at, worker = heapq.heappop(free)
        end = at + rates.hand_over + seconds[unit] / (1.0 if speeds is None else speeds[worker])
        heapq.heappush(free, (end, worker))
        done.append((end, unit))
    driver = 0.0
    for end, unit in sorted(done):
        driver = max(driver, end) + candidates[unit] * rates.driver
    return driver


def efficiency(
    units: Units,
    workers: int,
    rates: Rates,
    *,
    spread: float = 0.0,
    slow: float = 1.0,
    seed: int = 0,
) -> float:
    """The time of one worker over workers times the time of all; both begin with ready workers.

    Args:
        units: The population.
        workers: How many there are.
        rates: Of the machines.
        spread: Standard deviation of the logarithm of a unit's time around what its FLOPs say.
        slow: Speed of one of the workers, relative to the others.
        seed: Of the times.
    """
    noise = np.exp(np.random.default_rng(seed).normal(0, spread, len(units.flops)))
    total = int(units.candidates.sum())
    alone = units.shared / rates.flops + total * rates.driver
    noise *= units.flops.sum() / (units.flops * noise).sum()  # as much work as without
    seconds = units.flops / rates.flops * noise
    speeds = [slow] + [1.0] * (workers - 1)
    together = makespan(seconds.tolist(), units.candidates.tolist(), workers, rates, speeds)
    return alone / (workers * together)


def row(candidates: int, paths: Paths, workers: int, rates: Rates) -> str:
    """A line of the table."""
    units = cut(paths, UNITS_PER_WORKER * workers)
    again = units.flops.sum() / units.shared - 1
    seconds = (units.flops / rates.flops).tolist()
    span = makespan(seconds, units.candidates.tolist(), workers, rates)
    found = (
        efficiency(units, workers, rates),
        efficiency(units, workers, rates, spread=0.2),
        efficiency(units, workers, rates, slow=0.5),
    )
    cells = [
        rates.name,
        f"{candidates:,}",
        str(workers),
        f"{len(units.flops):,}",
        f"{again:.1%}",
        f"{span + rates.start:,.0f}",
        *(f"{one:.3f}" for one in found),
        f"{candidates * rates.driver / span:.0%}",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument("--candidates", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 8, 64])
    options = parser.parse_args()
    space = spaces.get(SPACE)
    print(
        f"{SPACE}, {IMAGES} images of 224 x 224; {UNITS_PER_WORKER} units a worker; seconds with "
        f"{CPU.start:.0f} s until workers are ready, {CPU.hand_over * 1e3:.0f} ms between units "
        f"and {CPU.driver * 1e6:.0f} us of the driver for a candidate\n\n"
        "| worker | candidates | workers | units | computed again | seconds | efficiency "
        "| times spread by 20% | one worker at half speed | driver is busy |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    )
    for count in options.candidates:
        paths = space.paths(space.sample(count, 0), img_size=224, num_classes=100)
        for rates in (CPU, GPU):
            for workers in options.workers:
                print(row(count, paths, workers, rates), flush=True)


if __name__ == "__main__":
    main()
