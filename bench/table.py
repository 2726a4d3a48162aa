"""Results as a Markdown table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bench.case import Case, Skip
from bench.cases import builders, targets
from bench.targets import DEVICE, verdict
from bench.timing import Timer, Times, measure

COLUMNS = (
    "operator",
    "shape",
    "baselines, ms",
    "ours, ms",
    "GB/s",
    "of copy",
    "GFLOP/s",
    "best baseline / ours",
)
"""Times are wall times; rates are those of the device, where there is one."""
CUDA_COLUMNS = (
    "host, ms",
    "device, ms",
    "baselines on the device, ms",
    "peak, MiB",
    "baselines' peak, MiB",
)
"""``host`` is the time until our call returns, ``peak`` memory allocated during a call."""


def lines(
    device: str, name: str, copied: float, groups: list[str], timer: Timer, seconds: float
) -> Iterator[str]:
    """Header and rows of the groups of cases asked for; ``name`` is that of the device."""
    columns = [*COLUMNS, *(CUDA_COLUMNS if device == "cuda" else ())]
    aimed = DEVICE in name
    if aimed:
        columns.append(f"target on an {DEVICE}")
    yield _line(columns)
    yield _line(["---"] * len(columns))
    for group, cases in builders(device).items():
        for which, build in cases.items() if group in groups else ():
            try:
                case = build()
                case.check()
                times = measure(case.forms, timer, case.cold, seconds)
            except Skip as reason:
                yield _line([group, which, f"skipped: {reason}", *[""] * (len(columns) - 3)])
                continue
            cells = row(case, times, copied)
            if aimed:
                target = targets(group).get(which)
                share = case.bytes / times["ours"].work / copied
                cells.append(verdict(target, times, share) if target else "")
            yield _line(cells)


def row(case: Case, times: Mapping[str, Times], copied: float) -> list[str]:
    """Cells of one case; ratios below 1 are losses and are shown like the others."""
    ours = times["ours"]
    others = {name: value for name, value in times.items() if name != "ours"}
    rate = case.bytes / ours.work
    cells = [
        case.operator,
        case.shape,
        _named({name: value.wall * 1e3 for name, value in others.items()}),
        f"{ours.wall * 1e3:.3f}",
        f"{rate / 1e9:.1f}",
        f"{rate / copied:.0%}",
        f"{case.flops / ours.work / 1e9:.0f}" if case.flops else "",
        f"{min(value.wall for value in others.values()) / ours.wall:.2f}",
    ]
    if ours.device is not None:
        cells += [
            f"{ours.host * 1e3:.3f}",
            f"{ours.device * 1e3:.3f}",
            _named({name: (value.device or 0) * 1e3 for name, value in others.items()}),
            f"{(ours.peak or 0) / 2**20:.1f}",
            _named({name: (value.peak or 0) / 2**20 for name, value in others.items()}),
        ]
    return cells


def _named(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in values.items())


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
