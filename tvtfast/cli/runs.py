"""``tvtfast runs``."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tvtfast.cli.output import Report, wrapped
from tvtfast.cli.parsing import Parser, UsageError
from tvtfast.common.files import check_file
from tvtfast.common.names import unknown

if TYPE_CHECKING:
    from tvtfast.runs import Comparison, Run

T = TypeVar("T")

_EXAMPLES = (
    "tvtfast runs list runs/",
    "tvtfast runs compare runs/a runs/b --html page.html",
    "tvtfast runs merge a.sqlite b.sqlite --output c.sqlite",
)
_STORE = "scores.sqlite"
_KEEP = ("first", "last")
_BLOCKS = "▁▂▃▄▅▆▇█"
_CURVE = 32
"""Columns that a curve takes at most."""


def parser() -> Parser:
    """Flags of the command."""
    parser = Parser(
        "See what run folders and score stores hold. list: all runs below a folder; compare: two "
        "runs, with the settings that differ, what they ended with, and curves; top: the best of a "
        "store by one proxy; merge: several stores as a new one; export: a store as Parquet.",
        _EXAMPLES,
    )
    parser.add_argument("action", type=str, nargs="?", default="list", help=", ".join(_ACTIONS))
    parser.add_argument(
        "paths",
        type=str,
        nargs="*",
        default=[],
        help="run folders or score stores; default of list: runs",
    )
    parser.add_argument(
        "--output", "-o", type=str, default="", help="file that merge or export writes"
    )
    parser.add_argument(
        "--html",
        type=str | None,
        default=None,
        help="page that compare writes beside what it prints",
    )
    parser.add_argument(
        "--keep",
        type=str | None,
        default=None,
        help="which of two different values of one score merge keeps, first or last in the order "
        "of the stores; default none: conflicts are named, and nothing is written",
    )
    parser.add_argument(
        "--proxy", type=str | None, default=None, help="of top; default the only one of the store"
    )
    parser.add_argument("--top", type=int, default=10, help="how many top shows")
    parser.add_argument(
        "--lowest", type=bool, default=False, help="whether low values are the best ones of top"
    )
    parser.choices |= {"action": tuple(_ACTIONS), "keep": _KEEP}
    return parser


def run(cfg: Namespace, parser: Parser) -> Report:
    """Do what was asked for."""
    if cfg.action not in _ACTIONS:
        raise UsageError(unknown("action", cfg.action, tuple(_ACTIONS)))
    return _ACTIONS[cfg.action](cfg)


def _list(cfg: Namespace) -> Report:
    from tvtfast.common.progress import note
    from tvtfast.runs import find_runs

    folders = cfg.paths or ["runs"]
    for folder in folders:
        if not Path(folder).is_dir():
            raise UsageError(f"there is no folder {folder!r}; name one with runs in it")
    found, left_out = [], []
    for folder in folders:
        runs, unread = find_runs(folder)
        found += runs
        left_out += unread
    if not cfg.quiet:
        for place, reason in left_out:
            note(f"left out: {place}: {reason}")
    data = {
        "runs": [
            {
                "folder": one.folder,
                "command": one.command,
                "status": one.status,
                "started": one.started,
                "wall_seconds": one.cost.wall_seconds,
                "best": dict(one.best),
            }
            for one in found
        ],
        "left_out": [{"folder": place, "reason": reason} for place, reason in left_out],
    }
    text = "\n".join(
        line
        for one in found
        for line in (
            str(one.folder),
            wrapped(f"    {', '.join(_facts(one))}", indent="    "),
        )
    )
    return Report(text or f"no run in {', '.join(folders)}", data)


def _compare(cfg: Namespace) -> Report:
    from tvtfast.runs import compare, read_run

    if len(cfg.paths) != 2:
        raise UsageError(f"compare takes two run folders, got {len(cfg.paths)}: {_EXAMPLES[1]}")
    if cfg.html is not None:
        check_file("html", cfg.html)
    first, second = map(read_run, cfg.paths)
    found = compare(first, second)
    settings = [_pair(name, *values) for name, values in found.settings.items()]
    ends = [_pair(name, _value(a), _value(b)) for name, (a, b) in found.best.items()]
    took = (_seconds(one.cost.wall_seconds) for one in (first, second))
    curves = [
        f"  {name}\n" + "\n".join(f"    {drawn(values)}  {_value(values[-1])}" for values in pair)
        for name, pair in found.curves.items()
        if all(pair)
    ]
    text = "\n".join(
        [
            _pair("runs", str(first.folder), str(second.folder)),
            _pair("status", first.status, second.status),
            _pair("wall time", *took),
            "settings that differ:" if settings else "all settings are equal",
            *settings,
            *(["ended with:", *ends] if ends else []),
            *(["curves, from the least to the greatest value:", *curves] if curves else []),
        ]
    )
    data: dict[str, Any] = {
        "folders": [first.folder, second.folder],
        "settings": {name: list(values) for name, values in found.settings.items()},
        "best": {name: list(values) for name, values in found.best.items()},
        "curves": {name: [list(values) for values in pair] for name, pair in found.curves.items()},
    }
    if cfg.html is not None:
        text += f"\npage  {_write_page(cfg.html, first, second, found)}"
        data["page"] = cfg.html
    return Report(text, data)


def _write_page(path: str, first: Run, second: Run, found: Comparison) -> Path:
    from tvtfast.report import ComparisonReport, write_comparison_report

    def both(what: Callable[[Run], T]) -> tuple[T, T]:
        return what(first), what(second)

    def own_report(one: Run) -> str | None:
        there = one.folder / "report.html"
        if not there.is_file():
            return None
        return Path(os.path.relpath(there, Path(path).parent)).as_posix()

    report = ComparisonReport(
        folders=both(lambda one: str(one.folder)),
        facts={
            "command": both(lambda one: one.command),
            "status": both(lambda one: one.status),
            "started": both(lambda one: one.started[:16].replace("T", " ")),
            "wall time": both(lambda one: _seconds(one.cost.wall_seconds)),
        },
        settings=found.settings,
        best=found.best,
        curves=found.curves,
        reports=both(own_report),
    )
    return write_comparison_report(report, path)


def _top(cfg: Namespace) -> Report:
    from tvtfast.scoring.store_queries import best, contexts, opened

    path = _one_store(cfg, "top")
    with opened(path) as file:
        there = contexts(file)
        names = tuple(dict.fromkeys(one.proxy for one in there))
        if cfg.proxy is None and len(names) != 1:
            raise UsageError(f"--proxy: {path} has scores of {', '.join(names) or 'nothing'}")
        name = names[0] if cfg.proxy is None else cfg.proxy
        if name not in names:
            raise UsageError(f"--proxy: {unknown('proxy', name, names)}")
        if cfg.top < 1:
            raise UsageError(f"--top is {cfg.top}; give 1 or more")
        chosen = [one for one in there if one.proxy == name]
        found = [(one, best(file, one.number, cfg.top, highest=not cfg.lowest)) for one in chosen]
    parts = []
    for one, entries in found:
        seed = f", seed {one.fields['init_seed']}" if "init_seed" in one.fields else ""
        parts.append(f"{name}{seed}: the best {len(entries)} of {one.count:,} scores")
        parts += [f"{value:>12.6g}  {candidate}" for candidate, value in entries]
    data = {
        "store": path,
        "proxy": name,
        "contexts": [
            {
                "depends_on": dict(one.fields),
                "scores": one.count,
                "best": [{"candidate": text, "value": value} for text, value in entries],
            }
            for one, entries in found
        ],
    }
    return Report("\n".join(parts), data)


def _merge(cfg: Namespace) -> Report:
    if cfg.keep is not None and cfg.keep not in _KEEP:
        raise UsageError(f"--keep: {unknown('rule', cfg.keep, _KEEP)}")
    if len(cfg.paths) < 2 or not cfg.output:
        raise UsageError(f"merge takes stores and --output: {_EXAMPLES[2]}")
    check_file("output", cfg.output)
    from tvtfast.scoring.store_merging import merge

    stores = [_store(path) for path in cfg.paths]
    merged = merge(stores, cfg.output, keep=cfg.keep)
    lines = [f"{merged.scores:,} scores  {cfg.output}"]
    if merged.conflicts:
        lines += [
            f"{merged.conflicts:,} scores had different values; the {cfg.keep} were kept:",
            *(f"  {one}" for one in merged.named),
        ]
    data = {
        "output": cfg.output,
        "scores": merged.scores,
        "conflicts": merged.conflicts,
        "named": [
            {"score": one.text, "before": one.kept, "given": one.given, "store": one.store}
            for one in merged.named
        ],
    }
    return Report("\n".join(lines), data)


def _export(cfg: Namespace) -> Report:
    path = _one_store(cfg, "export")
    target = cfg.output or str(path.with_suffix(".parquet"))
    check_file("output", target)
    from tvtfast.runs import export_store

    count = export_store(path, target)
    return Report(f"{count:,} scores  {target}", {"output": target, "scores": count})


_ACTIONS: dict[str, Callable[[Namespace], Report]] = {
    "list": _list,
    "compare": _compare,
    "top": _top,
    "merge": _merge,
    "export": _export,
}


def _one_store(cfg: Namespace, action: str) -> Path:
    if len(cfg.paths) != 1:
        raise UsageError(f"{action} takes one score store or run folder, got {len(cfg.paths)}")
    return _store(cfg.paths[0])


def _store(given: str) -> Path:
    """The file of a store, or that in a run folder."""
    return Path(given) / _STORE if Path(given).is_dir() else Path(given)


def drawn(values: Sequence[float]) -> str:
    """A curve as blocks from its least to its greatest value, as many columns as fit."""
    step = max(1, -(-len(values) // _CURVE))
    shown = [values[min(start + step, len(values)) - 1] for start in range(0, len(values), step)]
    low, span = min(shown), max(shown) - min(shown)
    top = len(_BLOCKS) - 1
    return "".join(_BLOCKS[round(top * (value - low) / span) if span else 0] for value in shown)


def _pair(name: str, first: str, second: str) -> str:
    return wrapped(f"  {name}: {first} -> {second}", indent="    ")


def _facts(one: Run) -> list[str]:
    ends = [f"{name} {_value(value)}" for name, value in one.best.items()]
    started = one.started[:16].replace("T", " ")
    return [one.command, one.status, started, _seconds(one.cost.wall_seconds), *ends]


def _value(value: float | None) -> str:
    return "-" if value is None else f"{value:.5g}"


def _seconds(seconds: float) -> str:
    if not seconds:
        return "-"
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours} h {rest // 60:02d} min" if hours else f"{rest // 60} min {rest % 60:02d} s"
