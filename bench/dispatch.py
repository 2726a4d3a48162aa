"""Whether ``auto`` takes the fastest backend: ``python -m bench.dispatch``.

Every operator is called with every shape of :mod:`bench.calls`, in every dtype and with
one thread and all, by ``auto`` and by every backend that serves the call. All results are held
against fp64 first. A row is wrong where ``auto`` has less than 0.95 of the speed of the fastest
backend that it did not take and is more than a microsecond behind it; the one that it took differs
from it by the price of choosing alone.
Times are medians of calls in random order. What looks wrong is measured :data:`AGAIN` times more,
each :data:`LONGER` times as long, and counts where it is wrong every time. A row that counts makes
the exit status 1.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.calls import SHAPES, calls
from bench.machine import machine
from bench.timing import CpuTimer, measure
from tvtfast.kernels import dispatch
from tvtfast.kernels.dispatch import AUTO, IMPLEMENTATIONS, OPERATORS

LEAST = 0.95
"""Of the best backend's speed that ``auto`` must reach."""
CHOICE = 1e-6
"""Seconds that do not count: what it takes to choose."""
AGAIN = 3
LONGER = 4
"""A row that looks wrong is measured so many times as long."""
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
ERRORS = {torch.float32: 1e-4, torch.float16: 0.01, torch.bfloat16: 0.05}
"""Of a result relative to its largest value, or to :data:`SMALL`: gross ones; the tests hold the
bounds."""
SMALL = 0.1
HEADER = """# Whether auto takes the fastest backend

`python -m bench.dispatch`; medians of calls in random order, results checked against fp64 first.
A row is wrong where auto has less than {least} of the speed of the best backend that it did not
take and is more than a microsecond behind it. What looks wrong is measured {again} times more,
{longer} times as long, and counts where it is wrong every time; the row shows the best of them. A
call that one backend serves has no row.

{machine}

{verdict}
"""
COLUMNS = (
    *("operator", "call", "dtype", "threads", "auto takes", "auto, ms", "backends, ms"),
    "best other / auto",
)


@dataclass(frozen=True)
class Row:
    """One call, timed.

    Attributes:
        operator: Its operator.
        call: What :func:`bench.calls.label` makes of its shape.
        dtype: Of its tensors.
        threads: Of PyTorch and of ours.
        taken: The backend that ``auto`` takes.
        times: Seconds by backend, and those of ``auto``.
    """

    operator: str
    call: str
    dtype: torch.dtype
    threads: int
    taken: str
    times: dict[str, float]

    @property
    def ratio(self) -> float:
        """Speed of ``auto`` as a share of that of the fastest backend that it did not take."""
        return self._other / self.times[AUTO]

    @property
    def wrong(self) -> bool:
        return self.ratio < LEAST and self.times[AUTO] - self._other > CHOICE

    @property
    def _other(self) -> float:
        return min(t for name, t in self.times.items() if name not in (AUTO, self.taken))

    @property
    def cells(self) -> tuple[str, ...]:
        backends = ", ".join(
            f"{name} {1e3 * seconds:.4f}" for name, seconds in self.times.items() if name != AUTO
        )
        dtype = str(self.dtype).removeprefix("torch.")
        auto = f"{1e3 * self.times[AUTO]:.4f}"
        return (
            *(self.operator, self.call, dtype, str(self.threads), self.taken),
            *(auto, backends, f"{self.ratio:.2f}{' WRONG' if self.wrong else ''}"),
        )


def rows(operators: Iterable[str], threads: Sequence[int], seconds: float) -> Iterator[Row]:
    """A row per call that more than one backend serves."""
    for operator in operators:
        for dtype in DTYPES:
            for name, arguments in calls(operator, dtype):
                call = OPERATORS[operator].call(*arguments)
                backends = serving(operator, call)
                if len(backends) == 1:
                    continue
                check(operator, call, backends, dtype)
                for count in threads:
                    torch.set_num_threads(count)
                    yield settled(operator, name, call, backends, dtype, seconds)


def serving(operator: str, call: tuple[Any, ...]) -> list[str]:
    """Backends that serve a call on the CPU, in the order of ``auto``, which takes the first."""
    return [
        entry.backend
        for entry in IMPLEMENTATIONS[operator]
        if entry.device in (None, "cpu") and not entry.reasons(call)
    ]


def settled(
    operator: str,
    name: str,
    call: tuple[Any, ...],
    backends: Sequence[str],
    dtype: torch.dtype,
    seconds: float,
) -> Row:
    """The row of a call; of one that looks wrong the best of several."""

    def timed(seconds: float) -> Row:
        forms = {
            backend: lambda backend=backend: dispatch.run(operator, call, backend)
            for backend in (AUTO, *backends)
        }
        times = {k: t.wall for k, t in measure(forms, CpuTimer(), False, seconds).items()}
        return Row(operator, name, dtype, torch.get_num_threads(), backends[0], times)

    row = timed(seconds)
    for _ in range(AGAIN):
        if not row.wrong:
            break
        row = max(row, timed(LONGER * seconds), key=lambda row: row.ratio)
    return row


def check(
    operator: str, call: tuple[Any, ...], backends: Iterable[str], dtype: torch.dtype
) -> None:
    """Raise ``AssertionError`` where a backend's results are not those of fp64."""
    exact = results(operator, widened(call), "reference")
    for backend in (AUTO, *backends):
        for k, (value, expected) in enumerate(
            zip(results(operator, call, backend), exact, strict=True)
        ):
            bound = ERRORS[dtype] * max(expected.abs().max().item(), SMALL)
            error = (value.double() - expected).abs().max().item()
            assert error <= bound, f"{operator}, {backend}: result {k} is off by {error}"


def results(operator: str, call: tuple[Any, ...], backend: str) -> list[Tensor]:
    """What an operator returns or writes."""
    definition = OPERATORS[operator]
    found = dispatch.run(operator, call, backend)
    if definition.writes:
        found = [getattr(call, name).clone() for name in definition.writes]
    return [found] if isinstance(found, Tensor) else list(found)


def widened(call: tuple[Any, ...]) -> tuple[Any, ...]:
    """The call with its floating tensors in fp64; what is written to is another tensor."""
    wide: tuple[Any, ...] = type(call)(*map(_wide, call))
    return wide


def _wide(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.double() if value.is_floating_point() else value
    if isinstance(value, Sequence) and value and isinstance(value[0], Tensor):
        return [tensor.double() for tensor in value]
    return value


def line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.dispatch", description=__doc__)
    parser.add_argument("operators", nargs="*", help=f"of {', '.join(SHAPES)}; all by default")
    parser.add_argument("--seconds", type=float, default=0.1, help="time per row")
    parser.add_argument("--threads", type=int, nargs="+", help="default: 1, and PyTorch's")
    parser.add_argument("--output", type=Path, help="Markdown file to write as well")
    given = parser.parse_args(arguments)
    unknown = set(given.operators) - set(SHAPES)
    if unknown:
        parser.error(f"unknown operators {', '.join(sorted(unknown))}")
    torch.manual_seed(0)
    before = torch.get_num_threads()
    where = machine()
    print(f"{where}\n", flush=True)
    table = [line(COLUMNS), line(["---"] * len(COLUMNS))]
    print("\n".join(table), flush=True)
    counted, wrong = 0, 0
    threads = given.threads or sorted({1, before})
    try:
        for row in rows(given.operators or SHAPES, threads, given.seconds):
            table.append(line(row.cells))
            print(table[-1], flush=True)
            counted, wrong = counted + 1, wrong + row.wrong
    finally:
        torch.set_num_threads(before)
    verdict = f"{wrong} of {counted} calls are wrong."
    print(f"\n{verdict}")
    if given.output:
        head = HEADER.format(
            least=LEAST, again=AGAIN, longer=LONGER, machine=where, verdict=verdict
        )
        given.output.write_text("\n".join([head, *table, ""]), encoding="utf-8")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
