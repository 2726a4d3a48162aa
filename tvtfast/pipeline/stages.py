"""Stages that systems share. Each writes a folder of its own and does nothing where that is
finished."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tvtfast.common.files import sweep
from tvtfast.common.progress import note
from tvtfast.common.run_folder import RECORD
from tvtfast.distill import Distillation, TrainedStudent, distill
from tvtfast.models import Student, Teacher, build
from tvtfast.pipeline.baseline import deit_like
from tvtfast.pipeline.finalists import TournamentResult, tournament
from tvtfast.pipeline.plan import Plan
from tvtfast.pipeline.stage_errors import read_json, stage
from tvtfast.scoring.judged import judgement
from tvtfast.searching.loop import search
from tvtfast.searching.record import BEST
from tvtfast.searching.result import SearchResult
from tvtfast.students.exporting import export
from tvtfast.supernet import FinishedTraining

TEACHER, SEARCH, GROWTH, SUPERFORMER = "teacher", "search", "growth", "superformer"
CUT, STUDENT, PLAIN, BASELINE, EXPORT = "cut", "student", "plain", "deit", "export"
TOURNAMENT = "tournament"


@dataclass(frozen=True)
class Outcome:
    """What the stages of a run ended with.

    Args:
        best: What is trained, and all it takes to build it, in the form of a search's
            ``best.json``.
        student: It, trained.
        baseline: The ViT of equal size that nobody searched, trained by the same recipe; ``None``
            where nothing is compared.
        plain: The student's architecture trained without the teacher, where one guides it.
        teacher: The teacher, where one takes part.
        superformer: The superformer, where one is trained.
        cut: The winner with the weights of the superformer.
        tournament: The tournament that ``student`` has won, where there was one.
    """

    best: Mapping[str, Any]
    student: TrainedStudent
    baseline: TrainedStudent | None = None
    plain: TrainedStudent | None = None
    teacher: Teacher | None = None
    superformer: FinishedTraining | None = None
    cut: Student | None = None
    tournament: TournamentResult | None = None


def announce(plan: Plan, name: str, detail: str) -> None:
    """Say on standard error which stage runs."""
    if plan.progress:
        note(f"{name}: {detail}")


def is_finished(folder: Path, result: str) -> bool:
    """Whether a folder holds a finished run with its result."""
    record = folder / RECORD
    if not record.exists() or not (folder / result).exists():
        return False
    return bool(read_json(record).get("status") == "finished")


def searched(
    plan: Plan, is_current: Callable[[Mapping[str, Any]], bool], **scoring: Any
) -> Mapping[str, Any]:
    """The winner of the search of the plan's space.

    Args:
        plan: The run.
        is_current: Whether the recorded settings of a finished search are those of this one; a
            stage before it may have been done again.
        **scoring: Arguments of `tvtfast.search` on top of the plan.
    """
    announce(plan, SEARCH, plan.space.name)
    folder = plan.folder / SEARCH
    with stage(SEARCH, folder):
        finished = is_finished(folder, BEST)
        if not finished or not is_current(read_json(folder / RECORD).get("settings", {})):
            _search(plan, **scoring)
        best: Mapping[str, Any] = read_json(folder / BEST)
        return best


def ranking_warning(best: Mapping[str, Any]) -> str:
    """Where the parameter count is known to rank better than what a search ranked by; else empty.

    Args:
        best: In the form of a search's ``best.json``.
    """
    judged = judgement(str(best.get("space")), tuple(best.get("proxies", ())))
    return "" if judged is None else judged.warning


def _search(plan: Plan, **arguments: Any) -> SearchResult:
    return search(
        plan.space,
        strategy=plan.chosen.strategy,
        trials=plan.chosen.trials,
        seed=plan.seed,
        device=plan.device,
        progress=plan.progress,
        executor=plan.executor,
        run_dir=plan.folder / SEARCH,
        **arguments,
        **plan.options,
    )


def contested(
    plan: Plan, guide: Teacher | None, finalists: int, **scoring: Any
) -> TournamentResult:
    """The tournament among candidates of the search of the plan's space.

    The search shows all images to every candidate: a calibration takes no estimates of a race. What
    was scored before is not scored again.

    Args:
        plan: The run.
        guide: The teacher of the trainings.
        finalists: How many.
        **scoring: Arguments of `tvtfast.search` on top of the plan.
    """
    announce(plan, SEARCH, plan.space.name)
    with stage(SEARCH, plan.folder / SEARCH):
        found = _search(plan, racing=False, **scoring)
    announce(plan, TOURNAMENT, f"{finalists} finalists of {len(found.table)} candidates")
    training = {name: value for name, value in plan.training.items() if name != "keep_state"}
    with stage(TOURNAMENT, plan.folder / TOURNAMENT):
        return tournament(
            found.table,
            plan.train,
            guide,
            output_dir=plan.folder / TOURNAMENT,
            space=plan.space,
            budget=plan.budget,
            finalists=finalists,
            train_hours=plan.train_hours,
            how=plan.how if guide is not None else Distillation(guidance=None),
            recipe=plan.chosen.recipe,
            compare=plan.compare,
            executor=plan.executor,
            **training,
            **plan.options,
        )


def trained(
    plan: Plan, name: str, best: Mapping[str, Any], teacher: Teacher | None = None
) -> TrainedStudent:
    """What was found, trained from scratch with a teacher or without."""
    announce(plan, name, "plainly" if teacher is None else f"taught by {teacher.name}")
    folder = plan.folder / name
    with stage(name, folder):
        return distill(
            best,
            plan.train,
            teacher,
            output_dir=folder,
            how=plan.how if teacher is not None else Distillation(guidance=None),
            recipe=plan.chosen.recipe,
            **plan.training,
        )


def baseline(
    plan: Plan, best: Mapping[str, Any], teacher: Teacher | None = None
) -> TrainedStudent | None:
    """The ViT of equal size that nobody searched, trained by the same recipe, on all its tokens;
    ``None`` where nothing is compared."""
    if not plan.compare:
        return None
    recipe = plan.chosen.recipe
    options = dict(best["model_options"])
    if recipe.drop_path is not None:
        options["drop_path_rate"] = recipe.drop_path
    space, arch = deit_like(best["params"], **options)
    announce(plan, BASELINE, f"{arch.depth} blocks of width {arch.hidden_dim}")
    folder = plan.folder / BASELINE
    with stage(BASELINE, folder):
        return distill(
            build(arch, space=space, seed=plan.seed, **options),
            plan.train,
            teacher,
            output_dir=folder,
            how=plan.how if teacher is not None else Distillation(guidance=None),
            recipe=replace(recipe, tokens=None, drop_path=None),
            img_size=plan.options["img_size"],
            **plan.training,
        )


def exported(plan: Plan, student: TrainedStudent) -> None:
    """The folder that is handed over."""
    sweep(plan.folder / EXPORT)
    with stage(EXPORT, plan.folder / EXPORT):
        export(student.student, plan.folder / EXPORT)
