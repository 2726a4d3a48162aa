"""``tvtfast run``."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

from tvtfast import spaces
from tvtfast.cli.costs import cost_data, cost_in, cost_line, forecast_line
from tvtfast.cli.folders import command_folder
from tvtfast.cli.options import add_workers_option
from tvtfast.cli.output import Report, places, wrapped
from tvtfast.cli.parsing import Parser, UsageError
from tvtfast.cli.tables import counted
from tvtfast.cli.teachers import add_teacher_options, given_teacher
from tvtfast.cli.training import NONE, add_data_options, add_guidance_options, distillation
from tvtfast.common.run_folder import CommandFolder
from tvtfast.data.placed import AUGMENTATIONS
from tvtfast.distill import Recipe, TrainedStudent
from tvtfast.pipeline import SYSTEMS, RunResult, TournamentResult, defaults_for
from tvtfast.pipeline import run as run_pipeline
from tvtfast.pipeline.finalists.reporting import networks
from tvtfast.pipeline.plan import LOWEST_SHARE
from tvtfast.pipeline.running import known_strategies
from tvtfast.pipeline.systems import system_of
from tvtfast.pipeline.systems.tvt import TVT
from tvtfast.strategies import TRIALS
from tvtfast.training.recipe import DTYPES
from tvtfast.training.recipes import RECIPES, recipe_of

_MILLION = 1e6
_RECIPE = ("epochs", "batch_size", "lr", "augmentation", "dtype")

_HOW = "how"
_OF_SYSTEM = {
    "teacher": "teacher",
    "teacher_checkpoint": "teacher",
    "teacher_pretrained": "teacher",
    "teacher_arch": "teacher_arch",
    "teacher_epochs": "teacher_recipe",
    "superformer_epochs": "superformer_recipe",
    "finalists": "finalists",
    "train_hours": "train_hours",
    **dict.fromkeys(
        (
            "guidance",
            "guidance_weight",
            "guidance_schedule",
            "pairs",
            "logits",
            "logits_weight",
            "temperature",
            "offline",
            "paper",
        ),
        _HOW,
    ),
}
"""Flags that not every system has a use for, and the argument of `tvtfast.run` that they make."""

_EXAMPLES = (
    "tvtfast run --data-set digits --budget 6",
    "tvtfast run --data-set photos/ --budget 6 --finalists 8 --train-hours 10",
    "tvtfast run --system as-vit --data-set photos/ --budget 9",
)


def parser() -> Parser:
    """Flags of the command. Without any, it runs on handwritten digits."""
    parser = Parser(
        "Go from images to a trained student by one of three systems, and report. "
        + "; ".join(f"{one.name}: {one.summary}" for one in SYSTEMS.values())
        + ". The same command continues a run that was stopped; defaults not shown are those that "
        "suit the system and the data set.",
        _EXAMPLES,
    )
    parser.add_argument("--system", type=str, default=TVT.name, help=", ".join(SYSTEMS))
    parser.choices["system"] = tuple(SYSTEMS)
    add_data_options(parser)
    add_workers_option(parser, "score candidates and train finalists")
    model = parser.add_argument_group("student")
    model.add_argument(
        "--budget",
        type=float | None,
        default=None,
        help=f"parameters in millions; tvt and vitas search from {LOWEST_SHARE:.0%} of it up to "
        "all of it, as-vit grows to it within 5%; default 6, for digits 3 with as-vit and 2 with "
        "vitas",
    )
    model.add_argument(
        "--space",
        type=str | None,
        default=None,
        help=f"{', '.join(spaces.available())}; default "
        + ", ".join(f"{one.space} for {one.name}" for one in SYSTEMS.values()),
    )
    parser.choices["space"] = spaces.available()
    model.add_argument(
        "--strategy",
        type=str | None,
        default=None,
        help=f"of the search: {', '.join(known_strategies())}; default random, reinforce for "
        "as-vit, evolution for vitas",
    )
    parser.choices["strategy"] = known_strategies()
    model.add_argument(
        "--trials",
        type=int | None,
        default=None,
        help=f"architectures to score; default {TRIALS}, with reinforce 500; for digits 100 with "
        "as-vit and 200 with vitas",
    )
    model.add_argument("--img-size", type=int | None, default=None, help="side in pixels")
    model.add_argument("--patch-size", type=int | None, default=None, help="side in pixels")
    teacher = parser.add_argument_group("teacher, for tvt")
    add_teacher_options(teacher, "default one is trained")
    teacher.add_argument(
        "--teacher-arch",
        type=str | None,
        default=None,
        help="what is trained: resnet8 ... resnet110 for a CIFAR ResNet, or a timm ConvNet",
    )
    teacher.add_argument("--teacher-epochs", type=int | None, default=None)
    add_guidance_options(parser)
    contest = parser.add_argument_group("tournament, for tvt")
    contest.add_argument(
        "--finalists",
        type=int | None,
        default=None,
        help="train so many candidates briefly and the better half longer, rung by rung, and end "
        "with one student; at least 4, default none: the winner of the search is trained",
    )
    contest.add_argument(
        "--train-hours",
        type=float | None,
        default=None,
        help="time for all trainings of the tournament, those of --compare included: decides the "
        "epochs, at most those of the recipe",
    )
    superformer = parser.add_argument_group("superformer, for vitas")
    superformer.add_argument("--superformer-epochs", type=int | None, default=None)
    training = parser.add_argument_group("training of students")
    training.add_argument(
        "--recipe",
        type=str | None,
        default=None,
        help=f"{', '.join(RECIPES)}: published values; as-vit keeps its progressive tokens, and "
        "single flags win",
    )
    parser.choices["recipe"] = tuple(RECIPES)
    training.add_argument("--epochs", type=int | None, default=None)
    training.add_argument("--batch-size", type=int | None, default=None)
    training.add_argument("--lr", type=float | None, default=None, help="learning rate")
    training.add_argument(
        "--augmentation", type=str | None, default=None, help=", ".join(AUGMENTATIONS)
    )
    training.add_argument("--dtype", type=str | None, default=None, help=", ".join(DTYPES))
    training.add_argument(
        "--compare",
        type=bool,
        default=True,
        help="also train a DeiT-like ViT of equal size by the same recipe, and for tvt the winner "
        "without the teacher; with --finalists train the picks of parameters, score and every "
        "proxy to the end, beside the DeiT-like ViT",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of everything that is drawn")
    parser.add_argument("--device", type=str | None, default=None, help="default the GPU, else CPU")
    return parser


def run(cfg: Namespace, parser: Parser) -> Report:
    """Run all stages, and print how the student does and where everything lies."""
    check_flags(cfg, parser)
    result = run_pipeline(**asked(cfg, command_folder(cfg, default_folder(cfg), parser)))
    return Report(_summary(result), _data(result))


def asked(cfg: Namespace, folder: CommandFolder) -> dict[str, Any]:
    """Arguments of `tvtfast.run` from the flags."""
    known = defaults_for(cfg.data_set, cfg.system)
    how = distillation(cfg) if _HOW in system_of(cfg.system).takes else None
    options = {n: getattr(cfg, n) for n in ("img_size", "patch_size") if getattr(cfg, n)}
    return {
        "dataset": cfg.data_set,
        "output_dir": folder,
        "system": cfg.system,
        "budget": None if cfg.budget is None else cfg.budget * _MILLION,
        "space": cfg.space,
        "strategy": cfg.strategy,
        "trials": cfg.trials,
        "teacher": given_teacher(cfg),
        "teacher_arch": cfg.teacher_arch,
        "teacher_recipe": _changed(known.teacher_recipe, {"epochs": cfg.teacher_epochs}),
        "how": how,
        "superformer_recipe": _changed(
            known.superformer_recipe, {"epochs": cfg.superformer_epochs}
        ),
        "recipe": _student_recipe(cfg, known.recipe),
        "finalists": cfg.finalists,
        "train_hours": cfg.train_hours,
        "compare": cfg.compare,
        "data_path": cfg.data_path,
        "search_split": cfg.search_split,
        "seed": cfg.seed,
        "device": cfg.device,
        "workers": cfg.loading_workers,
        "executor": cfg.workers,
        "progress": not cfg.quiet,
        **options,
    }


def check_flags(cfg: Namespace, parser: Parser) -> None:
    """Refuse flags that the system has no use for; ``--guidance none`` says what holds anyway."""
    system = system_of(cfg.system)
    for flag, argument in _OF_SYSTEM.items():
        value = getattr(cfg, flag)
        said = value != parser.get_default(flag) and (flag, value) != ("guidance", NONE)
        if said and argument not in system.takes:
            raise UsageError(
                f"--{flag.replace('_', '-')} is given, and --system {system.name} has no use for "
                f"it: {system.summary}; leave it out"
            )


def _student_recipe(cfg: Namespace, known: Recipe) -> Recipe | None:
    """The recipe of the flags, with the coarse tokens of the system; ``None`` for its default."""
    flags = {name: getattr(cfg, name) for name in _RECIPE}
    if cfg.recipe is None:
        return _changed(known, flags)
    named = replace(recipe_of(cfg.recipe), tokens=known.tokens)
    return _changed(named, flags) or named


def _changed(recipe: Recipe, given: dict[str, Any]) -> Recipe | None:
    """A default recipe with what the flags say; ``None`` where they say nothing."""
    changes = {name: value for name, value in given.items() if value is not None}
    return replace(recipe, **changes) if changes else None


def default_folder(cfg: Namespace) -> str:
    """Named after the data set, the system where it is not the default, size and seed. Where only a
    space is given, which decides the size, it is named after that."""
    budget = defaults_for(cfg.data_set, cfg.system).budget
    size = f"{budget / _MILLION if cfg.budget is None else cfg.budget:g}M"
    if cfg.budget is None and cfg.space is not None:
        size = cfg.space
    system = [] if cfg.system == TVT.name else [cfg.system]
    return str(Path("runs") / "-".join([Path(cfg.data_set).stem, *system, size, f"seed{cfg.seed}"]))


def _accuracies(result: RunResult) -> dict[str, float]:
    """By network, as far as the run has them."""
    if result.tournament is not None:
        return {one.name: one.accuracy for one in networks(result.tournament)}
    found = {"student": result.student.accuracy}
    if result.cut is not None and result.cut.card.accuracy is not None:
        found["cut out, not retrained"] = result.cut.card.accuracy
    if result.plain is not None:
        found["the same, plainly"] = result.plain.accuracy
    if result.baseline is not None:
        found["DeiT-like, of equal size"] = result.baseline.accuracy
    return found


def _summary(result: RunResult) -> str:
    accuracies = _accuracies(result)
    width = max(26, *(len(name) + 2 for name in accuracies))
    return "\n".join(
        [
            counted(result.best),
            *(f"{name:<{width}}{value:.2f} %" for name, value in accuracies.items()),
            *cost_line(cost_in(result.folder)),
            *forecast_line(result.folder),
            *([wrapped(result.warning)] if result.warning else []),
            "",
            places(
                {
                    "student": result.student.folder,
                    "export": result.folder / "export",
                    "report": result.report,
                }
            ),
        ]
    )


def _data(result: RunResult) -> dict[str, Any]:
    def accuracy(found: TrainedStudent | None) -> float | None:
        return None if found is None else found.accuracy

    return {
        "run_dir": result.folder,
        "system": result.system,
        "best": result.best,
        "accuracy": result.student.accuracy,
        "accuracy_without_teacher": accuracy(result.plain),
        "accuracy_of_equal_size": accuracy(result.baseline),
        "accuracy_cut_out": None if result.cut is None else result.cut.card.accuracy,
        "student": result.student.folder,
        "export": result.folder / "export",
        "report": result.report,
        "warning": result.warning,
        "tournament": None if result.tournament is None else _tournament(result.tournament),
        "seconds": dict(result.seconds),
        "cost": cost_data(cost_in(result.folder)),
    }


def _tournament(found: TournamentResult) -> dict[str, Any]:
    return {
        "folder": found.folder,
        "winner": found.winner.name,
        "roles": list(found.winner.roles),
        "epochs": list(found.rungs.epochs),
        "comparison": found.comparison.to_dict("records"),
        "notes": list(found.notes),
    }
