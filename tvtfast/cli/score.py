"""``tvtfast score``."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from tvtfast.cli.options import (
    UsageError,
    add_rank_option,
    add_scoring_options,
    choose_proxies,
    scoring_arguments,
)
from tvtfast.cli.tables import candidates_table
from tvtfast.common.foreign import BadFileError, reading
from tvtfast.spaces import get as get_space


def parser() -> ArgumentParser:
    """Flags of the command."""
    parser = ArgumentParser(description="Score given architectures.")
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


def run(cfg: Namespace, parser: ArgumentParser) -> None:
    """Score, and print the table, best first."""
    from tvtfast.scoring import rank, score

    space = get_space(cfg.space)
    architectures = [arch for given in cfg.arch for arch in _architectures(given)]
    if not architectures:
        raise UsageError(
            "name at least one architecture: --arch '{...}' or --arch runs/x/best.json"
        )
    choose_proxies(cfg)
    table = score(
        architectures, space=space, store=cfg.store, **scoring_arguments(cfg, progress=False)
    )
    frame = table.to_pandas()
    if len(table) > 1:
        scores = rank(table, cfg.method)
        order = scores.sort_values(ascending=False, kind="stable").index
        frame = frame.assign(**{str(scores.name): scores}).loc[order]
    else:
        print("one architecture is compared with no other: no combined score", file=sys.stderr)
    print(candidates_table(frame, space))
    for proxy in table.reasons:
        for status, reason in zip(table.status[proxy], table.reasons[proxy], strict=True):
            if reason:
                print(f"{status}: {proxy}: {reason}")
    if cfg.output is not None:
        table.to_csv(cfg.output)


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
