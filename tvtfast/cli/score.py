"""``tvtfast score``."""

from __future__ import annotations

import re
from argparse import Namespace
from pathlib import Path
from typing import Any

from tvtfast.cli.options import (
    add_rank_option,
    add_scoring_options,
    add_weights_options,
    choose_proxies,
    scoring_arguments,
)
from tvtfast.cli.output import Report, wrapped
from tvtfast.cli.parsing import Parser, UsageError
from tvtfast.cli.superformers import add_superformer_options, settle
from tvtfast.cli.tables import candidate_rows, candidates_table
from tvtfast.common.files import check_file
from tvtfast.common.foreign import BadFileError
from tvtfast.common.names import did_you_mean
from tvtfast.common.progress import note
from tvtfast.spaces import ARCH_FORMS, Space, Written, read_architectures
from tvtfast.spaces import get as get_space

_DEFAULT = "autoformer-tiny"
_EXAMPLES = (
    "tvtfast score --arch runs/digits-autoformer-tiny-seed0/best.json",
    "tvtfast score --arch deit-tiny deit-small --json",
    "tvtfast score --arch vit_tiny_patch16_224 swin_tiny_patch4_window7_224",
)


def parser() -> Parser:
    """Flags of the command."""
    parser = Parser(
        "Score given architectures, or untrained models of timm.",
        _EXAMPLES,
    )
    add_scoring_options(parser, "that of the architectures, else autoformer-tiny")
    add_superformer_options(parser)
    add_weights_options(parser)
    add_rank_option(parser)
    parser.add_argument(
        "--arch",
        type=str,
        nargs="+",
        default=[],
        help=f"each {ARCH_FORMS}; or, without --space, names of models of timm, untrained",
    )
    parser.add_argument("--output", type=str | None, default=None, help="also write a CSV file")
    parser.add_argument(
        "--store", type=str | None, default=None, help="SQLite file of known scores"
    )
    return parser


def run(cfg: Namespace, parser: Parser) -> Report:
    """Score, and tell the table, best first."""
    from tvtfast.scoring import judgement, score
    from tvtfast.scoring.ranking import check_method, rank_population

    names = _timm_names(cfg)
    written = [] if names else [one for given in cfg.arch for one in _written(given)]
    if not written and not names:
        raise UsageError(
            "name at least one architecture: --arch '{...}' or --arch runs/x/best.json"
        )
    settle(cfg, space=None)
    space, architectures = _space(cfg, written), [one.arch for one in written]
    cfg.space = space.name
    choose_proxies(cfg)
    check_method(cfg.method)
    for name in ("output", "store"):
        if getattr(cfg, name) is not None:
            check_file(name, getattr(cfg, name))
    for arch in architectures:
        space.decode(arch)
    arguments = scoring_arguments(cfg, progress=not cfg.quiet)
    if names:
        arguments = _of_timm(cfg, arguments)
    table = score(
        names or architectures, space=None if names else space, store=cfg.store, **arguments
    )
    frame, scores = table.to_pandas(), None
    if len(table) > 1:
        scores = rank_population(table, cfg.method)
        order = scores.sort_values(ascending=False, kind="stable").index
        frame = frame.assign(**{str(scores.name): scores}).loc[order]
    elif not cfg.quiet:
        note("one architecture is compared with no other: no combined score")
    lines = [candidates_table(frame, None if names else space)]
    judged = None
    if len(table) > 1 and table.space is not None:
        judged = judgement(table.space, table.scored, cfg.method)
    if judged is not None and judged.warning:
        lines.append(wrapped(judged.warning))
    for proxy in table.reasons:
        for status, reason in zip(table.status[proxy], table.reasons[proxy], strict=True):
            if reason:
                lines.append(wrapped(f"{status}: {proxy}: {reason}", indent="  "))
    if cfg.output is not None:
        table.to_csv(cfg.output)
    data = {
        "space": None if names else space.name,
        "method": cfg.method,
        "candidates": candidate_rows(table, scores, frame.index),
        "judgement": None if judged is None else judged.to_dict(),
        "fallbacks": [str(one) for one in table.fallbacks],
        "notes": list(table.notes),
    }
    return Report("\n".join(lines), data)


def _timm_names(cfg: Namespace) -> list[str]:
    """The names of models of timm, where they are what is given; a file of that name is a file."""
    from tvtfast.models.named import is_timm

    words = [one for one in cfg.arch if re.fullmatch(r"[A-Za-z]\w*(\.\w+)?", one)]
    names = [one for one in words if not Path(one).exists() and is_timm(one)]
    if names and len(names) < len(cfg.arch):
        raise UsageError(
            f"--arch {names[0]} is a model of timm, and others are not; score models of timm and "
            "architectures of a space one at a time"
        )
    if names and cfg.space is not None:
        raise UsageError(
            f"--space is of architectures, and --arch {names[0]} is one of models of timm; leave "
            "it out"
        )
    return names


def _of_timm(cfg: Namespace, arguments: dict[str, Any]) -> dict[str, Any]:
    """Without options that only models of spaces have, or that nobody stated."""
    left = {"distilled": cfg.distilled, "patch_size": cfg.patch_size is not None}
    return {name: value for name, value in arguments.items() if left.get(name, True)}


def _written(given: str) -> list[Written]:
    try:
        return read_architectures(given)
    except FileNotFoundError as error:
        from tvtfast.models.named import timm_names

        close = did_you_mean(given, timm_names()) if re.fullmatch(r"\w+", given) else ""
        raise UsageError(f"--arch {error}; or the name of a model of timm{close}") from error
    except BadFileError as error:
        raise UsageError(f"--arch {error}") from error


def _space(cfg: Namespace, written: list[Written]) -> Space[Any]:
    """What ``--space`` names, else what the architectures bring along."""
    named = dict.fromkeys(one.space for one in written if one.space is not None)
    if cfg.space is None and len(named) > 1:
        raise UsageError(
            f"the architectures are of several spaces, {', '.join(named)}; score those of one at a "
            "time"
        )
    return get_space(cfg.space or next(iter(named), _DEFAULT))
