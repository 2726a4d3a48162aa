"""Print one table of all operators: ours, the baselines, and the ratio to the best of them.

Calls of ours and of the baselines alternate in random order, so that a busy moment of the machine
meets all of them; times are medians. Ratios below 1 are losses and are printed like the others.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from bench.cases import Case, builders
from tvtfast import kernels


def machine() -> str:
    """CPU, cores, load, versions."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = names[0].partition(":")[2].strip() if names else cpu
    load = f"{os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "unknown"
    native = kernels.native_build_info() or {}
    return (
        f"{cpu}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, load {load},"
        f" torch {torch.__version__}, native {native.get('instruction_set', 'not installed')}"
    )


def medians(calls: dict[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    """Median seconds of each call, from rounds in random order: what a call finds in the caches
    depends on the one before it."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    order, shuffle = list(calls.items()), random.Random(0).shuffle
    for call in calls.values():
        call()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(next(iter(times.values()))) < 5:
        shuffle(order)
        for name, call in order:
            begin = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - begin)
    return {name: statistics.median(values) for name, values in times.items()}


def row(case: Case, seconds: float) -> str:
    case.check()
    result = medians({"ours": case.ours, **case.baselines}, seconds)
    ours = result.pop("ours")
    best = min(result.values())
    baselines = ", ".join(f"{name} {value * 1e3:.3f}" for name, value in result.items())
    rate = case.bytes / ours / 1e9
    return (
        f"| {case.operator} | {case.shape} | {baselines} | {ours * 1e3:.3f} | {rate:.1f}"
        f" | {best / ours:.2f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("operators", nargs="*", help=f"of {', '.join(builders())}; all by default")
    parser.add_argument("--seconds", type=float, default=2.0, help="time per row")
    parser.add_argument("--threads", type=int, help="threads of PyTorch and of ours")
    arguments = parser.parse_args()
    unknown = set(arguments.operators) - set(builders())
    if unknown:
        parser.error(f"unknown operators {', '.join(sorted(unknown))}")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    print(machine())
    print("\n| operator | shape | baselines, ms | ours, ms | GB/s | best baseline / ours |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, cases in builders().items():
        if not arguments.operators or name in arguments.operators:
            for build in cases.values():
                print(row(build(), arguments.seconds), flush=True)


if __name__ == "__main__":
    main()
