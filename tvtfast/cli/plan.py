"""``tvtfast plan``."""

from __future__ import annotations

import importlib
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tvtfast.cli.output import Report, wrapped
from tvtfast.cli.parsing import Parser, UsageError
from tvtfast.cli.planned import PLANNED, assumed_device
from tvtfast.common import checks
from tvtfast.common.forecast import Forecast
from tvtfast.common.names import unknown

_EXAMPLES = (
    "tvtfast plan search --space pit --trials 5000",
    "tvtfast plan distill --arch best.json --data-set photos/ --budget-hours 2",
)
_COMMAND = "command"


class _Planner(Parser):
    """A parser that hands what is not its own to the parser of the command that is planned."""

    def parse_args(self, args: Sequence[str] | None = None, **options: Any) -> Any:  # type: ignore[override]
        own, others = self._own(list(args or ()))
        cfg = super().parse_args(own, **options)
        if cfg.planned not in PLANNED:
            if not cfg.planned:
                raise UsageError(f"say what to plan: {', '.join(PLANNED)}; {_EXAMPLES[0]}")
            raise UsageError(unknown("command", cfg.planned, tuple(PLANNED)))
        module = importlib.import_module(f"tvtfast.cli.{cfg.planned}")
        command = module.parser()
        command.prog = f"tvtfast {cfg.planned}"
        command.add_import_flag()
        command.add_output_flags()
        given = command.parse_args(others)
        given.quiet = True
        if getattr(given, "workers", None) is not None:
            raise UsageError("--workers: a plan is for several numbers of them: --for-workers 1 4")
        cfg[_COMMAND] = given
        return cfg

    def _own(self, args: list[str]) -> tuple[list[str], list[str]]:
        """Arguments of this parser, and those of the command."""
        flags = {flag: action for action in self._actions for flag in action.option_strings}
        own: list[str] = []
        others: list[str] = []
        rest, named = args, False
        while rest:
            word, *rest = rest
            action = flags.get(word.split("=")[0])
            if action is None:
                first = not named and not others and not word.startswith("-")
                (own if first else others).append(word)
                named = named or first
                continue
            own.append(word)
            if action.nargs == 0 or "=" in word:
                continue
            many = action.nargs == "+"
            while rest and not rest[0].startswith("-"):
                own.append(rest.pop(0))
                if not many:
                    break
        return own, others


def parser() -> Parser:
    """Flags of the command; all others are those of the command that is planned."""
    parser = _Planner(
        "Say what a command will take, in time, memory and disk. It runs at small size, takes all "
        "flags of the command, and leaves its forecast in the folder of the run, whose record then "
        "says how far off it was. Commands: " + ", ".join(PLANNED) + ".",
        _EXAMPLES,
    )
    parser.add_argument("planned", type=str, nargs="?", default="", help=", ".join(PLANNED))
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="that the small runs may measure, about"
    )
    parser.add_argument(
        "--budget-hours",
        type=float | None,
        default=None,
        help="say how many candidates or epochs fit into so many hours",
    )
    parser.add_argument(
        "--for-workers",
        type=int,
        nargs="+",
        default=[1],
        help="numbers of workers, such as this machine, that share the candidates or images",
    )
    parser.choices["planned"] = tuple(PLANNED)
    return parser


def run(cfg: Namespace, parser: Parser) -> Report:
    """Run small, and print the forecast."""
    checks.real("seconds", cfg.seconds, above=0)
    if cfg.budget_hours is not None:
        checks.real("budget_hours", cfg.budget_hours, above=0)
    for workers in cfg.for_workers:
        checks.whole("for_workers", workers, least=1)
    given = getattr(cfg, _COMMAND)
    forecast, folder = PLANNED[cfg.planned](given, cfg.seconds, assumed_device(given))
    forecast.write(folder)
    data = {
        "command": forecast.command,
        "unit": forecast.unit,
        "count": forecast.count,
        "for_workers": [_of(forecast, workers, cfg.budget_hours) for workers in cfg.for_workers],
        "memory": forecast.memory,
        "disk": forecast.disk,
        "basis": forecast.basis,
        "assumed": dict(forecast.assumed),
        "run_dir": folder,
    }
    return Report(_text(forecast, cfg.for_workers, cfg.budget_hours, folder), data)


def _of(forecast: Forecast, workers: int, hours: float | None) -> dict[str, Any]:
    low, high = forecast.interval(workers)
    return {
        "workers": workers,
        "seconds": forecast.seconds(workers),
        "low": low,
        "high": high,
        "shares": forecast.shares(workers),
        "fits": None if hours is None else forecast.fitting(hours, workers),
    }


def _text(forecast: Forecast, workers: Sequence[int], hours: float | None, folder: Path) -> str:
    from tvtfast.report import count_text, duration_text

    about = "" if forecast.exact else "about "
    lines = [f"{forecast.command} of {about}{forecast.count:,} {forecast.unit}:"]
    for number in workers:
        low, high = map(duration_text, forecast.interval(number))
        name = "" if workers == [1] else f"{number} worker{'s' * (number > 1)}: "
        lines.append(f"  {name}{duration_text(forecast.seconds(number))} ({low} to {high})")
        shares = forecast.shares(number).items()
        parts = ", ".join(f"{part} {share:.0%}" for part, share in shares if share >= 0.005)
        lines.append(wrapped(f"    {parts}", indent="    "))
        if hours is not None:
            fits = forecast.fitting(hours, number)
            lines.append(f"    {fits:,} {forecast.unit} fit into {hours:g} h")
    if forecast.memory is not None:
        lines.append(f"  memory {count_text(forecast.memory)}B of the process")
    if forecast.disk is not None:
        lines.append(f"  disk {count_text(forecast.disk)}B in the run folder")
    for name, text in forecast.assumed.items():
        lines.append(wrapped(f"  assumed, {name}: {text}", indent="    "))
    lines.append(wrapped(f"  {forecast.basis}; kept in {folder}", indent="  "))
    return "\n".join(lines).replace("\N{NO-BREAK SPACE}", " ")
