"""``tvtfast distill``."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from tvtfast import spaces
from tvtfast.cli.options import UsageError
from tvtfast.cli.training import add_data_options, add_recipe_options, training_arguments
from tvtfast.distill import (
    STUDENT_RECIPE,
    Distillation,
    TrainedStudent,
    digits_teacher,
    distill,
)
from tvtfast.distill.guide import GUIDANCE, LOGITS
from tvtfast.distill.losses import SCHEDULES
from tvtfast.distill.processes import announces
from tvtfast.models import Teacher

_NONE = "none"


def parser() -> ArgumentParser:
    """Flags of the command."""
    parser = ArgumentParser(
        description="Train a student, guided by a teacher or plainly; the same command continues a "
        "training that was stopped."
    )
    add_data_options(parser)
    model = parser.add_argument_group("student")
    model.add_argument(
        "--arch",
        type=str,
        default="",
        help="best.json of a run, an architecture as JSON, or a student folder to train on",
    )
    model.add_argument(
        "--space",
        type=str | None,
        default=None,
        help=f"of an architecture as JSON: {', '.join(spaces.available())}",
    )
    model.add_argument(
        "--img-size", type=int | None, default=None, help="side in pixels; default as searched"
    )
    model.add_argument(
        "--patch-size", type=int | None, default=None, help="side in pixels; default as searched"
    )
    guide = parser.add_argument_group("teacher")
    guide.add_argument(
        "--teacher",
        type=str | None,
        default=None,
        help="teacher folder, checkpoint of a CIFAR ResNet, or timm model; digits trains its own",
    )
    guide.add_argument("--guidance", type=str, default="linear", help=", ".join((*GUIDANCE, _NONE)))
    guide.add_argument("--guidance-weight", type=float, default=2.5)
    guide.add_argument(
        "--guidance-schedule", type=str, default="constant", help=", ".join(SCHEDULES)
    )
    guide.add_argument(
        "--pairs",
        type=list[tuple[int, int]] | None,
        default=None,
        help="student blocks and teacher stages, such as [[0,0],[6,1],[11,2]]; default spread "
        "evenly",
    )
    guide.add_argument("--logits", type=str, default=_NONE, help=", ".join((*LOGITS, _NONE)))
    guide.add_argument("--logits-weight", type=float, default=0.5)
    guide.add_argument("--temperature", type=float, default=1.0)
    guide.add_argument(
        "--offline",
        type=bool,
        default=False,
        help="compute the teacher's features once, and crop them with the image",
    )
    guide.add_argument(
        "--paper",
        type=bool,
        default=False,
        help="let the teacher's batch statistics drift, as the published code does",
    )
    add_recipe_options(parser, STUDENT_RECIPE)
    return parser


def run(cfg: Namespace, parser: ArgumentParser) -> None:
    """Train, and print the best accuracy and where the student lies."""
    if not cfg.arch:
        raise UsageError("name the architecture: --arch runs/x/best.json")
    cfg.output = cfg.output or _default_folder(cfg)
    how = Distillation(
        guidance=_named(cfg.guidance),
        guidance_weight=cfg.guidance_weight,
        guidance_schedule=cfg.guidance_schedule,
        pairs=None if cfg.pairs is None else tuple((b, s) for b, s in cfg.pairs),
        logits=_named(cfg.logits),
        logits_weight=cfg.logits_weight,
        temperature=cfg.temperature,
        offline=cfg.offline,
        paper=cfg.paper,
    )
    options: dict[str, Any] = {
        name: getattr(cfg, name)
        for name in ("img_size", "patch_size")
        if getattr(cfg, name) is not None
    }
    trained = distill(
        cfg.arch,
        cfg.data_set,
        _teacher(cfg, how),
        space=cfg.space,
        how=how,
        **training_arguments(cfg, STUDENT_RECIPE),
        **options,
    )
    if announces():
        print(_summary(trained))


def _teacher(cfg: Namespace, how: Distillation) -> str | Teacher | None:
    if not how.needs_teacher:
        return None
    if cfg.teacher is None and cfg.data_set == "digits":
        return digits_teacher(progress=announces())
    teacher: str | None = cfg.teacher
    return teacher


def _summary(trained: TrainedStudent) -> str:
    best = trained.student.card.recipe["epoch"]
    last = trained.history[-1]
    return (
        f"\n{trained.accuracy:.2f} % after epoch {best}, the best; "
        f"{last['accuracy']:.2f} % after epoch {last['epoch']:.0f}, the last\n"
        f"student  {trained.folder}\n"
        f"log      {trained.folder / 'log.csv'}"
    )


def _named(given: str) -> str | None:
    return None if given == _NONE else given


def _default_folder(cfg: Namespace) -> str:
    beside = Path(cfg.arch).parent if Path(cfg.arch).suffix == ".json" else Path("runs")
    how = "plain" if cfg.guidance == cfg.logits == _NONE else "distilled"
    return str(beside / f"{Path(cfg.data_set).stem}-{how}-seed{cfg.seed}")
