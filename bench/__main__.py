"""Print one table of all operators: ours, the baselines, and the ratio to the best of them.

Calls of ours and of the baselines alternate in random order, so that a busy moment of the machine
meets all of them; times are medians. Every result is checked before it is timed. Ratios below 1 are
losses and are printed like the others.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from bench.cases import GROUPS
from bench.machine import copy_rate, machine
from bench.table import lines
from bench.timing import timer

HEADER = """# Operators on {where}

`python -m bench`; medians of calls in random order in one run, results checked against fp64 first.
"of copy" is the rate of ours as a share of what copying a large buffer reads and writes.
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("operators", nargs="*", help=f"of {', '.join(GROUPS)}; all by default")
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), help="default: cuda where there is one"
    )
    parser.add_argument("--seconds", type=float, default=2.0, help="time per row")
    parser.add_argument("--threads", type=int, help="threads of PyTorch and of ours")
    parser.add_argument("--output", type=Path, help="Markdown file to write as well")
    arguments = parser.parse_args()
    unknown = set(arguments.operators) - set(GROUPS)
    if unknown:
        parser.error(f"unknown operators {', '.join(sorted(unknown))}")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    device = arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    copied = copy_rate(device)
    name = machine(device)
    header = f"{name}, copy {copied / 1e9:.1f} GB/s"
    print(f"{header}\n", flush=True)
    table = []
    groups = arguments.operators or list(GROUPS)
    for line in lines(device, name, copied, groups, timer(device), arguments.seconds):
        print(line, flush=True)
        table.append(line)
    if arguments.output:
        where = "the CPU" if device == "cpu" else torch.cuda.get_device_name()
        text = "\n".join([HEADER.format(where=where), header, "", *table, ""])
        arguments.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
