"""``tvtfast grow``."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

from tvtfast.cli.folders import command_folder
from tvtfast.cli.options import add_scoring_options, scoring_arguments
from tvtfast.cli.output import Report
from tvtfast.cli.parsing import Parser, UsageError
from tvtfast.common.foreign import BadFileError, reading
from tvtfast.growing.family import Family, check_targets, grow
from tvtfast.growing.rule import Grown, GrowthRules
from tvtfast.spaces import get as get_space

_RULES = GrowthRules()
_DRAWS = 5

_EXAMPLES = (
    "tvtfast grow --arch '8,2,3|4,1,2|4,1,4|4,1,6|32' --target-params 29e6 52e6",
    "tvtfast grow --arch runs/asvit/best.json --stop-params 40e6 --quiet",
)


def parser() -> Parser:
    """Flags of the command."""
    parser = Parser(
        "Grow a topology into a family of models without training any (As-ViT).",
        _EXAMPLES,
    )
    add_scoring_options(parser)
    parser.set_defaults(
        space="asvit", proxies=["ntk_condition", "length_distortion"], init_seeds=_DRAWS
    )
    parser.add_argument(
        "--arch",
        type=str,
        default="",
        help="the topology: its published string, JSON, or best.json of a search",
    )
    parser.add_argument(
        "--target-params",
        type=float,
        nargs="+",
        default=[],
        help="pick the models nearest to these parameter counts, such as 29e6 52e6 88e6",
    )
    rules = parser.add_argument_group("growth")
    rules.add_argument("--start-width", type=int, default=_RULES.start_width)
    rules.add_argument(
        "--stop-params",
        type=float,
        default=_RULES.stop_params,
        help="growth ends with the first model that has as many parameters",
    )
    rules.add_argument(
        "--max-params", type=float, default=_RULES.max_params, help="no model is larger"
    )
    rules.add_argument(
        "--paper", type=bool, default=False, help="break ties as the published code does"
    )
    parser.add_argument(
        "--output-dir",
        type=str | None,
        default=None,
        help="folder of the family; the same command continues growth that was stopped",
    )
    return parser


def run(cfg: Namespace, parser: Parser) -> Report:
    """Grow, and print the family and where it lies."""
    if not cfg.arch:
        raise UsageError("name the topology: --arch '8,2,3|4,1,2|4,1,4|4,1,6|32' or a best.json")
    topology = _topology(cfg.arch)
    rules = GrowthRules(
        start_width=cfg.start_width,
        stop_params=cfg.stop_params,
        max_params=cfg.max_params,
        paper=cfg.paper,
    )
    get_space(cfg.space).decode(topology)
    check_targets(cfg.target_params)
    arguments = scoring_arguments(cfg, progress=not cfg.quiet)
    default = Path("runs") / f"{cfg.space}-family-seed{cfg.seed}"
    folder = command_folder(cfg, default, parser)
    family = grow(
        topology,
        space=cfg.space,
        rules=rules,
        target_params=cfg.target_params,
        output_dir=folder,
        **arguments,
    )
    data = {
        "run_dir": folder.chosen,
        "space": family.space.name,
        "models": [family.describe(model) for model in family.models],
        "picked": [
            {"target_params": target} | family.describe(family.pick(target))
            for target in cfg.target_params
        ],
        "evaluated": family.evaluated,
    }
    return Report(_summary(family, cfg.target_params, folder.chosen), data)


def _topology(given: str) -> Any:
    if Path(given).suffix != ".json":
        return given
    try:
        with reading(given, "JSON", advice="give best.json of a search in asvit"):
            content = json.loads(Path(given).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"--arch {given}: no such file") from None
    except BadFileError as error:
        raise UsageError(f"--arch {error}") from error
    return content["arch"] if isinstance(content, dict) and "arch" in content else content


def _summary(family: Family, targets: list[float], folder: Path) -> str:
    least, most = (family.models[end].params / 1e6 for end in (0, -1))
    lines = [
        f"{len(family.models)} models grew from one topology, {least:.2f} M to {most:.2f} M "
        "parameters",
        "",
    ]
    lines += [_line(f"nearest to {target / 1e6:g} M", family.pick(target)) for target in targets]
    lines += [_line("largest", family.models[-1])] if not targets else []
    return "\n".join(
        [
            *lines,
            "",
            f"models        {folder / 'models'}",
            f"table         {folder / 'family.csv'}",
            f"every step    {folder / 'growth.csv'}",
            f"figure        {folder / 'family.png'}",
            *([f"picked        {folder / 'picked.json'}"] if targets else []),
        ]
    )


def _line(name: str, one: Grown) -> str:
    return (
        f"{name}: {one.params / 1e6:.2f} M parameters, {one.flops / 1e9:.2f} GFLOPs, "
        f"depths {'-'.join(map(str, one.model.depths))}, width {one.model.width}"
    )
