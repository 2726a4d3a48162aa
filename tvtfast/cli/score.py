"""``tvtfast score``."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

from tvtfast.cli.options import (
    add_rank_option,
    add_scoring_options,
    choose_proxies,
    scoring_arguments,
)
from tvtfast.cli.output import Report, wrapped
from tvtfast.cli.parsing import Parser, UsageError
from tvtfast.cli.tables import candidate_rows, candidates_table
from tvtfast.common.files import check_file
from tvtfast.common.foreign import BadFileError, reading
from tvtfast.common.progress import note
from tvtfast.spaces import get as get_space

_EXAMPLES = (
    "tvtfast score --arch runs/digits-autoformer-tiny-seed0/best.json",
    "tvtfast score --space asvit --arch '8,2,3|4,1,2|4,1,4|4,1,6|32' --json",
)


def parser() -> Parser:
    """Flags of the command."""
    parser = Parser(
        "Score given architectures.",
        _EXAMPLES,
    )
    add_scoring_options(parser)
    add_rank_option(parser)
    parser.add_argument(
        "--arch",
        type=str,
        nargs="+",
        default=[],
        help="architectures as JSON or in the string form of their space, or files: best.json of a "
        "run, or a JSON list",
    )
    parser.add_argument("--output", type=str | None, default=None, help="also write a CSV file")
    parser.add_argument(
        "--store", type=str | None, default=None, help="SQLite file of known scores"
    )
    return parser


def run(cfg: Namespace, parser: Parser) -> Report:
    """Score, and tell the table, best first."""
    from tvtfast.scoring import rank, score
    from tvtfast.scoring.ranking import check_method

    space = get_space(cfg.space)
    architectures = [arch for given in cfg.arch for arch in _architectures(given)]
    if not architectures:
        raise UsageError(
            "name at least one architecture: --arch '{...}' or --arch runs/x/best.json"
        )
    choose_proxies(cfg)
    check_method(cfg.method)
    for name in ("output", "store"):
        if getattr(cfg, name) is not None:
            check_file(name, getattr(cfg, name))
    for arch in architectures:
        space.decode(arch)
    table = score(
        architectures,
        space=space,
        store=cfg.store,
        **scoring_arguments(cfg, progress=not cfg.quiet),
    )
    frame, scores = table.to_pandas(), None
    if len(table) > 1:
        scores = rank(table, cfg.method)
        order = scores.sort_values(ascending=False, kind="stable").index
        frame = frame.assign(**{str(scores.name): scores}).loc[order]
    elif not cfg.quiet:
        note("one architecture is compared with no other: no combined score")
    lines = [candidates_table(frame, space)]
    for proxy in table.reasons:
        for status, reason in zip(table.status[proxy], table.reasons[proxy], strict=True):
            if reason:
                lines.append(wrapped(f"{status}: {proxy}: {reason}", indent="  "))
    if cfg.output is not None:
        table.to_csv(cfg.output)
    data = {
        "space": space.name,
        "method": cfg.method,
        "candidates": candidate_rows(table, scores, frame.index),
        "fallbacks": [str(one) for one in table.fallbacks],
        "notes": list(table.notes),
    }
    return Report("\n".join(lines), data)


def _architectures(given: str) -> list[Any]:
    if given.lstrip().startswith("{") or ("|" in given and not Path(given).exists()):
        return [given]
    path = Path(given)
    try:
        with reading(path, "JSON", advice="give best.json of a run, or a JSON list"):
            content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"--arch {given}: neither JSON nor an existing file") from None
    except BadFileError as error:
        raise UsageError(f"--arch {error}") from error
    entries = content if isinstance(content, list) else [content]
    return [
        entry["arch"] if isinstance(entry, dict) and "arch" in entry else entry for entry in entries
    ]
