"""``tvtfast grow``."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from tvtfast.cli.costs import cost_data, cost_in, cost_line, forecast_line
from tvtfast.cli.folders import command_folder
from tvtfast.cli.options import add_scoring_options, scoring_arguments
from tvtfast.cli.output import Report
from tvtfast.cli.parsing import Parser, UsageError
from tvtfast.cli.training import (
    NONE,
    add_progressive_option,
    add_search_split_option,
    chosen_teacher,
    progressive_tokens,
)
from tvtfast.common.foreign import BadFileError
from tvtfast.common.run_folder import CommandFolder
from tvtfast.data.placed import AUGMENTATIONS
from tvtfast.distill import Distillation, Recipe, TrainedStudent
from tvtfast.growing import Family, Grown, GrowthRules, Pick, grow
from tvtfast.pipeline import defaults_for, train_family
from tvtfast.spaces import get as get_space
from tvtfast.spaces import read_architecture
from tvtfast.training.guide import GUIDANCE, LOGITS
from tvtfast.training.recipe import DTYPES

_RULES = GrowthRules()
_DRAWS = 5

_EXAMPLES = (
    "tvtfast grow --arch '8,2,3|4,1,2|4,1,4|4,1,6|32' --target-params 29e6 52e6",
    "tvtfast grow --arch runs/asvit/best.json --target-params 5e6 20e6 --train true",
)


def parser() -> Parser:
    """Flags of the command."""
    parser = Parser(
        "Grow a topology into a family of models without training any (As-ViT).",
        _EXAMPLES,
    )
    add_scoring_options(parser)
    parser.set_defaults(
        space="asvit",
        data_set="digits",
        proxies=["ntk_condition", "length_distortion"],
        init_seeds=_DRAWS,
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
        help="grow models of these parameter counts, such as 29e6 52e6 88e6",
    )
    rules = parser.add_argument_group("growth")
    rules.add_argument("--start-width", type=int, default=_RULES.start_width)
    rules.add_argument(
        "--stop-params",
        type=float | None,
        default=_RULES.stop_params,
        help="growth ends with the first model that has as many parameters; default the largest "
        "target, without targets 80e6",
    )
    rules.add_argument(
        "--max-params", type=float, default=_RULES.max_params, help="no model is larger"
    )
    rules.add_argument(
        "--tolerance",
        type=float,
        default=_RULES.tolerance,
        help="share of a target that its model may be off; steps near a target are refined",
    )
    rules.add_argument(
        "--width-ratios",
        type=tuple[float, ...],
        default=_RULES.width_ratios,
        help="widths of a step over the width before, such as [1.1,1.2,1.3]",
    )
    rules.add_argument(
        "--width-scale",
        type=int,
        default=_RULES.width_scale,
        help="width of a model over the width it is scored at",
    )
    rules.add_argument(
        "--paper",
        type=bool,
        default=False,
        help="as the published code: its ties, to 80e6 whatever the targets, no step refined",
    )
    _add_training_options(parser)
    parser.add_argument(
        "--output-dir",
        type=str | None,
        default=None,
        help="folder of the family; the same command continues growth that was stopped",
    )
    return parser


def _add_training_options(parser: Parser) -> None:
    group = parser.add_argument_group("training; defaults not shown suit the data set")
    group.add_argument(
        "--train",
        type=bool,
        default=False,
        help="train the models of --target-params one after the other",
    )
    group.add_argument("--epochs", type=int | None, default=None)
    group.add_argument("--train-batch-size", type=int | None, default=None, help="images per step")
    group.add_argument("--lr", type=float | None, default=None, help="learning rate")
    group.add_argument(
        "--augmentation", type=str | None, default=None, help=", ".join(AUGMENTATIONS)
    )
    group.add_argument("--train-dtype", type=str | None, default=None, help=", ".join(DTYPES))
    group.add_argument("--guidance", type=str, default=NONE, help=", ".join((*GUIDANCE, NONE)))
    group.add_argument("--logits", type=str, default=NONE, help=", ".join((*LOGITS, NONE)))
    add_progressive_option(group)
    add_search_split_option(group)
    group.add_argument(
        "--loading-workers",
        type=int,
        default=0,
        help="processes that load images; changes no result",
    )
    parser.choices |= {"guidance": (*GUIDANCE, NONE), "logits": (*LOGITS, NONE)}


def run(cfg: Namespace, parser: Parser) -> Report:
    """Grow, and print the family and where it lies."""
    check_named(cfg)
    how, recipe = _training(cfg)
    folder = command_folder(cfg, default_folder(cfg), parser)
    family = grow(**asked(cfg, folder))
    trained: dict[float, TrainedStudent] = {}
    if cfg.train:
        trained = train_family(
            family,
            folder.chosen,
            cfg.data_set,
            chosen_teacher(cfg, how) if how.needs_teacher else None,
            how=how,
            recipe=recipe,
            data_path=cfg.data_path,
            search_split=cfg.search_split,
            seed=cfg.seed,
            device=cfg.device,
            workers=cfg.loading_workers,
            progress=not cfg.quiet,
        )
    data = {
        "run_dir": folder.chosen,
        "space": family.space.name,
        "models": [family.describe(model) for model in family.models],
        "picked": [
            family.describe_pick(pick) | _trained(trained.get(pick.target_params))
            for pick in family.picks
        ],
        "evaluated": family.evaluated,
        "cost": cost_data(cost_in(folder.chosen), _candidates(family)),
        "report": folder.chosen / "report.html",
    }
    return Report(_summary(family, trained, folder.chosen), data)


def check_named(cfg: Namespace) -> None:
    """Refuse to grow nothing."""
    if not cfg.arch:
        raise UsageError("name the topology: --arch '8,2,3|4,1,2|4,1,4|4,1,6|32' or a best.json")


def asked(cfg: Namespace, folder: CommandFolder) -> dict[str, Any]:
    """Arguments of `tvtfast.grow` from the flags."""
    topology = _topology(cfg.arch)
    rules = GrowthRules(
        **{field.name: getattr(cfg, field.name) for field in fields(GrowthRules)},
    )
    rules.start(get_space(cfg.space).decode(topology))
    rules.check_targets(cfg.target_params)
    return {
        "topology": topology,
        "space": cfg.space,
        "rules": rules,
        "target_params": cfg.target_params,
        "output_dir": folder,
        **scoring_arguments(cfg, progress=not cfg.quiet),
    }


def default_folder(cfg: Namespace) -> Path:
    """Where the family goes unless it is said."""
    return Path("runs") / f"{cfg.space}-family-seed{cfg.seed}"


def _topology(given: str) -> Any:
    try:
        return read_architecture(given).arch
    except (FileNotFoundError, BadFileError) as error:
        raise UsageError(f"--arch {error}") from error


def _candidates(family: Family) -> int:
    return sum(len(step.candidates) for step in family.steps)


def _summary(family: Family, trained: dict[float, TrainedStudent], folder: Path) -> str:
    least, most = (family.models[end].params / 1e6 for end in (0, -1))
    lines = [
        f"{len(family.models)} models grew from one topology, {least:.2f} M to {most:.2f} M "
        "parameters",
        "",
    ]
    for pick in family.picks:
        lines.append(_pick_line(pick))
        if pick.target_params in trained:
            found = trained[pick.target_params]
            lines.append(f"    {found.accuracy:.2f} %, {found.folder}")
    lines += [_line("largest", family.models[-1])] if not family.picks else []
    return "\n".join(
        [
            *lines,
            *cost_line(cost_in(folder), _candidates(family)),
            *forecast_line(folder),
            "",
            f"models        {folder / 'models'}",
            f"table         {folder / 'family.csv'}",
            f"every step    {folder / 'growth.csv'}",
            *([f"picked        {folder / 'picked.json'}"] if family.picks else []),
            f"report        {folder / 'report.html'}",
        ]
    )


def _training(cfg: Namespace) -> tuple[Distillation, Recipe]:
    """How models are trained, refused before any work where it cannot be."""
    how = Distillation(
        guidance=None if cfg.guidance == NONE else cfg.guidance,
        logits=None if cfg.logits == NONE else cfg.logits,
    )
    given = {
        "epochs": cfg.epochs,
        "batch_size": cfg.train_batch_size,
        "lr": cfg.lr,
        "augmentation": cfg.augmentation,
        "dtype": cfg.train_dtype,
        "tokens": progressive_tokens(cfg),
    }
    chosen = {name: value for name, value in given.items() if value is not None}
    if cfg.train and not cfg.target_params:
        raise UsageError("--train trains the models of --target-params, and there are none")
    if cfg.train and Path(cfg.data_set).suffix == ".safetensors":
        raise UsageError(f"--train needs a data set, and --data-set {cfg.data_set} is one batch")
    asked = [*chosen, *(name for name in ("guidance", "logits") if getattr(how, name))]
    if asked and not cfg.train:
        raise UsageError(f"{', '.join(asked)}: only for --train true")
    return how, replace(defaults_for(cfg.data_set).recipe, **chosen)


def _trained(found: TrainedStudent | None) -> dict[str, Any]:
    return {} if found is None else {"accuracy": found.accuracy, "student": found.folder}


def _pick_line(pick: Pick) -> str:
    name = "" if pick.met else "nearest, not within the tolerance, "
    return _line(f"{name}to {pick.target_params / 1e6:g} M ({pick.deviation:+.1%})", pick.model)


def _line(name: str, one: Grown) -> str:
    return (
        f"{name}: {one.params / 1e6:.2f} M parameters, {one.flops / 1e9:.3g} GFLOPs "
        f"({one.flops / 2e9:.3g} GMACs), "
        f"depths {'-'.join(map(str, one.model.depths))}, width {one.model.width}"
    )
