"""``tvtfast run``."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

from tvtfast import spaces
from tvtfast.cli.folders import command_folder
from tvtfast.cli.output import Report, places
from tvtfast.cli.parsing import Parser
from tvtfast.cli.tables import counted
from tvtfast.cli.teachers import add_teacher_options, given_teacher
from tvtfast.cli.training import add_data_options, add_guidance_options, distillation
from tvtfast.data.placed import AUGMENTATIONS
from tvtfast.distill import Recipe, TrainedStudent
from tvtfast.pipeline import RunResult, defaults_for
from tvtfast.pipeline import run as run_pipeline
from tvtfast.pipeline.plan import LOWEST_SHARE
from tvtfast.strategies import TRIALS
from tvtfast.training.recipe import DTYPES

_MILLION = 1e6
_RECIPE = ("epochs", "batch_size", "lr", "augmentation", "dtype")

_EXAMPLES = (
    "tvtfast run --data-set digits --budget 6",
    "tvtfast run --data-set photos/ --teacher teacher.pth --budget 9 --trials 500",
)


def parser() -> Parser:
    """Flags of the command. Without any, it runs on handwritten digits."""
    parser = Parser(
        "Train a teacher, search the student that suits it, distil the student and "
        "report. The same command continues a run that was stopped; defaults not shown are those "
        "that suit the data set.",
        _EXAMPLES,
    )
    add_data_options(parser)
    model = parser.add_argument_group("student")
    model.add_argument(
        "--budget",
        type=float,
        default=6.0,
        help=f"parameters in millions; from {LOWEST_SHARE:.0%} of it up to all of it is searched",
    )
    model.add_argument(
        "--space", type=str, default="autoformer-tiny", help=", ".join(spaces.available())
    )
    model.add_argument(
        "--trials", type=int | None, default=None, help=f"architectures to score; default {TRIALS}"
    )
    model.add_argument("--img-size", type=int | None, default=None, help="side in pixels")
    model.add_argument("--patch-size", type=int | None, default=None, help="side in pixels")
    teacher = parser.add_argument_group("teacher")
    add_teacher_options(teacher, "default one is trained")
    teacher.add_argument(
        "--teacher-arch",
        type=str | None,
        default=None,
        help="what is trained: resnet8 ... resnet110 for a CIFAR ResNet, or a timm ConvNet",
    )
    teacher.add_argument("--teacher-epochs", type=int | None, default=None)
    add_guidance_options(parser)
    training = parser.add_argument_group("training of students")
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
        help="also train the winner without a teacher, and a DeiT-like ViT of equal size with it",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of everything that is drawn")
    parser.add_argument("--device", type=str | None, default=None, help="default the GPU, else CPU")
    return parser


def run(cfg: Namespace, parser: Parser) -> Report:
    """Run all stages, and print how the student does and where everything lies."""
    known = defaults_for(cfg.data_set)
    options = {n: getattr(cfg, n) for n in ("img_size", "patch_size") if getattr(cfg, n)}
    result = run_pipeline(
        cfg.data_set,
        budget=cfg.budget * _MILLION,
        output_dir=command_folder(cfg, _default_folder(cfg), parser),
        space=cfg.space,
        trials=cfg.trials,
        teacher=given_teacher(cfg),
        teacher_arch=cfg.teacher_arch,
        teacher_recipe=_changed(known.teacher_recipe, {"epochs": cfg.teacher_epochs}),
        how=distillation(cfg),
        recipe=_changed(known.recipe, {name: getattr(cfg, name) for name in _RECIPE}),
        compare=cfg.compare,
        data_path=cfg.data_path,
        search_split=cfg.search_split,
        seed=cfg.seed,
        device=cfg.device,
        workers=cfg.workers,
        progress=not cfg.quiet,
        **options,
    )
    return Report(_summary(result), _data(result))


def _changed(recipe: Recipe, given: dict[str, Any]) -> Recipe:
    return replace(recipe, **{n: value for n, value in given.items() if value is not None})


def _default_folder(cfg: Namespace) -> str:
    return str(Path("runs") / f"{Path(cfg.data_set).stem}-{cfg.budget:g}M-seed{cfg.seed}")


def _summary(result: RunResult) -> str:
    trained: dict[str, TrainedStudent | None] = {
        "student": result.student,
        "the same, plainly": result.plain,
        "DeiT-like, of equal size": result.baseline,
    }
    lines = [
        f"{name:<26}{found.accuracy:.2f} %" for name, found in trained.items() if found is not None
    ]
    return "\n".join(
        [
            counted(result.best),
            *lines,
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
        "best": result.best,
        "accuracy": result.student.accuracy,
        "accuracy_without_teacher": accuracy(result.plain),
        "accuracy_of_equal_size": accuracy(result.baseline),
        "student": result.student.folder,
        "export": result.folder / "export",
        "report": result.report,
        "seconds": dict(result.seconds),
    }
