"""``tvtfast truth collect``."""

from __future__ import annotations

from argparse import Namespace

from tvtfast import spaces
from tvtfast.cli.output import Report
from tvtfast.cli.parsing import Parser, UsageError
from tvtfast.common.files import check_file, write_csv
from tvtfast.common.names import unknown
from tvtfast.common.progress import note

_ACTIONS = ("collect",)

_EXAMPLES = (
    "tvtfast truth collect runs/a runs/b > truth.csv",
    "tvtfast truth collect runs/students --output truth.csv",
)


def parser() -> Parser:
    """Flags of the command."""
    parser = Parser(
        "Collect the accuracies of students that were trained here, one row per architecture, as "
        "truth for 'tvtfast correlate'.",
        _EXAMPLES,
    )
    parser.add_argument("action", type=str, nargs="?", default="", help=", ".join(_ACTIONS))
    parser.add_argument(
        "runs",
        type=str,
        nargs="*",
        default=[],
        help="run folders, student folders, or folders of such",
    )
    parser.add_argument(
        "--space",
        type=str | None,
        default=None,
        help=f"take students of one space alone: {', '.join(spaces.available())}",
    )
    parser.add_argument(
        "--output",
        type=str | None,
        default=None,
        help="CSV file to write; default standard output",
    )
    parser.choices |= {"action": _ACTIONS, "space": spaces.available()}
    return parser


def run(cfg: Namespace, parser: Parser) -> Report:
    """Collect, print or write the table, and say what was left out."""
    if cfg.action not in _ACTIONS:
        wanted = unknown("action", cfg.action, _ACTIONS) if cfg.action else "say what to do"
        raise UsageError(f"{wanted}: tvtfast truth collect runs/a runs/b > truth.csv")
    if not cfg.runs:
        raise UsageError("name the folders of the runs: tvtfast truth collect runs/a runs/b")
    if cfg.space is not None:
        spaces.get(cfg.space)
    if cfg.output is not None:
        check_file("output", cfg.output)
    from tvtfast.students.collecting import collect

    collected = collect(cfg.runs, space=cfg.space)
    if not cfg.quiet:
        for folder, reason in collected.left_out:
            note(f"left out: {folder}: {reason}")
    frame = collected.frame
    if cfg.output is not None:
        write_csv(cfg.output, frame)
    data = {
        "rows": frame.astype(object).where(frame.notna(), None).to_dict("records"),
        "left_out": [{"folder": folder, "reason": reason} for folder, reason in collected.left_out],
        "output": cfg.output,
    }
    text = frame.to_csv(index=False).rstrip("\n")
    if cfg.output is not None:
        text = f"{len(frame)} architectures  {cfg.output}"
    return Report(text, data)
