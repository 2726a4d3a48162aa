"""Print how much memory every form of a case holds at its peak: ``python -m bench.memory``.

Buffers a case was built with are not counted; results are.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch

from bench.case import Case
from bench.cases import builders
from bench.machine import machine


def peak_bytes(call: Callable[[], object]) -> int:
    """Most memory on the CPU that is allocated at once during a call, beyond what was before it."""
    call()
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        result = call()
    del result
    events = profile.profiler.kineto_results.events()
    changes = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    held = peak = 0
    for _, change in changes:
        held += change
        peak = max(peak, held)
    return peak


def row(case: Case) -> str:
    case.check()
    peaks = {name: peak_bytes(call) for name, call in case.baselines.items()}
    baselines = ", ".join(f"{name} {peak / 2**20:.1f}" for name, peak in peaks.items())
    ours = peak_bytes(case.ours)
    ratio = min(peaks.values()) / ours if ours else float("inf")
    return f"| {case.operator} | {case.shape} | {baselines} | {ours / 2**20:.1f} | {ratio:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description=__doc__)
    groups = builders("cpu")
    parser.add_argument("operators", nargs="*", help=f"of {', '.join(groups)}; all by default")
    arguments = parser.parse_args()
    unknown = set(arguments.operators) - set(groups)
    if unknown:
        parser.error(f"unknown operators {', '.join(sorted(unknown))}")
    torch.manual_seed(0)
    print(machine())
    print("\n| operator | shape | baselines, MiB | ours, MiB | best baseline / ours |")
    print("| --- | --- | --- | --- | --- |")
    for name, cases in groups.items():
        if not arguments.operators or name in arguments.operators:
            for build in cases.values():
                print(row(build()), flush=True)


if __name__ == "__main__":
    main()
