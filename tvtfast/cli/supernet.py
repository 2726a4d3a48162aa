"""``tvtfast supernet``."""

from __future__ import annotations

import math
from argparse import Namespace
from pathlib import Path
from typing import Any

from tvtfast.cli.costs import cost_data, cost_in, cost_line, forecast_line
from tvtfast.cli.folders import command_folder
from tvtfast.cli.launching import add_training_workers_option, is_shared
from tvtfast.cli.next_steps import search_superformer
from tvtfast.cli.options import add_flops_limits, flops_windows
from tvtfast.cli.output import Report, places
from tvtfast.cli.parsing import Parser
from tvtfast.cli.teachers import add_teacher_options
from tvtfast.cli.training import (
    NONE,
    accuracies,
    add_data_options,
    add_recipe_options,
    chosen_teacher,
    recipe_report,
    training_arguments,
)
from tvtfast.common import checks
from tvtfast.common.run_folder import CommandFolder
from tvtfast.data import load_dataset
from tvtfast.distill import Distillation
from tvtfast.spaces import QKV_MODES, default_patch_size, parse_constraints
from tvtfast.spaces import get as get_space
from tvtfast.supernet import SHARING, SUPERFORMER_RECIPE, WINDOW_OF, train_superformer
from tvtfast.training.guide import LOGITS
from tvtfast.training.processes import announces
from tvtfast.training.training_folder import LOG

_GUIDANCE = ("attention", "similarity")

_EXAMPLES = (
    "tvtfast supernet --space vitas-deit --data-set photos/",
    "tvtfast supernet --space autoformer-tiny --data-set digits --epochs 20",
)


def parser() -> Parser:
    """Flags of the command."""
    parser = Parser(
        "Train a superformer: every step one random candidate, all on shared weights; "
        "the same command continues a training that was stopped.",
        _EXAMPLES,
    )
    add_data_options(parser)
    add_training_workers_option(parser)
    model = parser.add_argument_group("superformer")
    model.add_argument(
        "--space",
        type=str,
        default="vitas-deit",
        help="vitas-deit, vitas-deit-cell, vitas-deit-large, vitas-twins, autoformer-tiny, "
        "autoformer-original-tiny, autoformer-original-small, autoformer-original-base",
    )
    model.add_argument(
        "--sharing",
        type=str | None,
        default=None,
        help=f"{', '.join(SHARING)}; default cyclic, and ordinal (weight entanglement) in "
        "autoformer-*",
    )
    model.add_argument(
        "--qkv-mode",
        type=int | None,
        default=None,
        help=f"{', '.join(map(str, QKV_MODES))}: private to a number of heads is nothing, v, or q "
        "and k; default 2, and 0 in autoformer-*",
    )
    model.add_argument(
        "--fused-qk",
        type=bool,
        default=False,
        help="cut q and k as one weight, as the released code does; vitas-deit and its kin",
    )
    add_flops_limits(model, "of the subnets, ", "; give those of the search")
    model.add_argument(
        "--window-of",
        type=str,
        default="each",
        help="each: subnets are drawn as a search within these limits draws; mean: only their mean "
        "meets them, as published",
    )
    model.add_argument(
        "--img-size", type=int | None, default=None, help="side in pixels; default the data set's"
    )
    model.add_argument(
        "--patch-size",
        type=int | None,
        default=None,
        help="side that a searched 16 stands for; default 16, or an eighth of images below 112 "
        "pixels",
    )
    guide = parser.add_argument_group("teacher")
    add_teacher_options(guide, "digits trains its own")
    guide.add_argument("--guidance", type=str, default=NONE, help=", ".join((*_GUIDANCE, NONE)))
    guide.add_argument("--guidance-weight", type=float, default=2.5)
    guide.add_argument("--logits", type=str, default=NONE, help=", ".join((*LOGITS, NONE)))
    add_recipe_options(parser, SUPERFORMER_RECIPE)
    return parser


def run(cfg: Namespace, parser: Parser) -> Report | None:
    """Train, and say where the superformer lies and what to do with it."""
    if cfg.print_recipe:
        return recipe_report(cfg, SUPERFORMER_RECIPE)
    if is_shared(cfg, parser):
        return None
    finished = train_superformer(**asked(cfg, command_folder(cfg, default_folder(cfg))))
    if not announces():
        return None
    card, log = finished.superformer.card, finished.folder / LOG
    command = search_superformer(cfg, finished.folder) if card.search_split else None
    found = places({"superformer": finished.folder, "log": log})
    cost = cost_in(finished.folder)
    text = "\n".join(
        [
            f"reference subnet: {accuracies(card)}",
            *cost_line(cost),
            *forecast_line(finished.folder),
            found,
        ]
    )
    if command is not None:
        text += f"\nsearch it    {command}"
    data = {
        "superformer": finished.folder,
        "space": card.space,
        "accuracy": card.accuracy,
        "held_out_accuracy": card.held_out_accuracy,
        "epochs": len(finished.history),
        "cost": cost_data(cost),
        "log": log,
        "search": command,
    }
    return Report(text, data)


def asked(cfg: Namespace, folder: CommandFolder) -> dict[str, Any]:
    """Arguments of `tvtfast.train_superformer` from the flags."""
    space = get_space(cfg.space)
    if cfg.fused_qk:
        space.fused_layout(next(iter(space.largest())), QKV_MODES[0])
    if cfg.sharing is not None:
        checks.choice("sharing", cfg.sharing, SHARING)
    checks.choice("window_of", cfg.window_of, WINDOW_OF)
    training = training_arguments(cfg, SUPERFORMER_RECIPE, folder)
    side = cfg.img_size or load_dataset(cfg.data_set, cfg.data_path).img_size
    how = Distillation(
        guidance=None if cfg.guidance == NONE else cfg.guidance,
        guidance_weight=cfg.guidance_weight,
        logits=None if cfg.logits == NONE else cfg.logits,
    )
    return {
        "space": cfg.space,
        "dataset": cfg.data_set,
        "sharing": cfg.sharing,
        "qkv_mode": cfg.qkv_mode,
        "fused_qk": cfg.fused_qk,
        "flops": _window(cfg),
        "window_of": cfg.window_of,
        "teacher": chosen_teacher(cfg, how),
        "how": how,
        "img_size": side,
        "patch_size": cfg.patch_size or default_patch_size(side),
        **training,
    }


def default_folder(cfg: Namespace) -> Path:
    """Where the superformer goes unless it is said."""
    return Path("runs") / f"{Path(cfg.data_set).stem}-{cfg.space}-supernet-seed{cfg.seed}"


def _window(cfg: Namespace) -> tuple[float, float] | None:
    low, high = parse_constraints(flops_windows(cfg)).get("flops", (-math.inf, math.inf))
    return None if math.isinf(low) and math.isinf(high) else (max(low, 0.0), high)
