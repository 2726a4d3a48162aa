"""The stages of a run. Each writes a folder of its own and does nothing where that is finished."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tvtfast.common.files import sweep
from tvtfast.common.progress import note
from tvtfast.distill import Distillation, TrainedStudent, distill, train_teacher
from tvtfast.models import Teacher, build
from tvtfast.pipeline.baseline import deit_like
from tvtfast.pipeline.plan import Plan
from tvtfast.pipeline.stage_errors import read_json, stage
from tvtfast.searching.loop import search
from tvtfast.students.exporting import export

TEACHER, SEARCH, EXPORT = "teacher", "search", "export"
STUDENT, PLAIN, BASELINE = "student", "plain", "deit"


@dataclass(frozen=True)
class Stages:
    """What every stage of a run ended with; see `tvtfast.pipeline.RunResult`."""

    teacher: Teacher
    best: Mapping[str, Any]
    student: TrainedStudent
    plain: TrainedStudent | None
    baseline: TrainedStudent | None


def begun(folder: Path) -> bool:
    """Whether a folder holds the folder of any stage."""
    return any((folder / name).exists() for name in (TEACHER, SEARCH, STUDENT))


def run_stages(plan: Plan) -> Stages:
    """All stages but the report, in their order."""
    teacher = _teacher(plan)
    best = _search(plan, teacher)
    guided = teacher if plan.how.needs_teacher else None
    student = _winner(plan, STUDENT, guided)
    plain = baseline = None
    if plan.compare:
        plain = _winner(plan, PLAIN, None) if guided is not None else None
        baseline = _baseline(plan, best, guided)
    sweep(plan.folder / EXPORT)
    with stage(EXPORT, plan.folder / EXPORT):
        export(student.student, plan.folder / EXPORT)
    return Stages(teacher, best, student, plain, baseline)


def _teacher(plan: Plan) -> Teacher:
    if plan.given is not None:
        return plan.given
    _announce(plan, TEACHER, plan.chosen.teacher_arch)
    folder = plan.folder / TEACHER
    with stage(TEACHER, folder):
        return train_teacher(
            plan.chosen.teacher_arch,
            plan.train,
            output_dir=folder,
            recipe=plan.chosen.teacher_recipe,
            **plan.training,
        )


def _search(plan: Plan, teacher: Teacher) -> Mapping[str, Any]:
    _announce(plan, SEARCH, plan.space.name)
    folder = plan.folder / SEARCH
    with stage(SEARCH, folder):
        if not _is_searched(plan, teacher):
            search(
                plan.space,
                trials=plan.trials,
                constraints=plan.constraints,
                teacher=teacher,
                images=plan.train,
                seed=plan.seed,
                device=plan.device,
                progress=plan.progress,
                run_dir=folder,
                **plan.options,
            )
        best: Mapping[str, Any] = read_json(folder / "best.json")
        return best


def _is_searched(plan: Plan, teacher: Teacher) -> bool:
    """Whether the search is finished, with this teacher."""
    folder = plan.folder / SEARCH
    if not (folder / "run.json").exists() or not (folder / "best.json").exists():
        return False
    found = read_json(folder / "run.json")
    known: Any = found.get("settings", {})
    return (
        found.get("status") == "finished"
        and known.get("teacher_fingerprint") == teacher.fingerprint
    )


def _winner(plan: Plan, name: str, teacher: Teacher | None) -> TrainedStudent:
    """The winner of the search, trained with a teacher or without."""
    _announce(plan, name, "plainly" if teacher is None else f"taught by {teacher.name}")
    folder = plan.folder / name
    with stage(name, folder):
        return distill(
            plan.folder / SEARCH / "best.json",
            plan.train,
            teacher,
            output_dir=folder,
            how=plan.how if teacher is not None else Distillation(guidance=None),
            recipe=plan.chosen.recipe,
            **plan.training,
        )


def _baseline(plan: Plan, best: Mapping[str, Any], teacher: Teacher | None) -> TrainedStudent:
    space, arch = deit_like(best["params"], **best["model_options"])
    _announce(plan, BASELINE, f"{arch.depth} blocks of width {arch.hidden_dim}")
    folder = plan.folder / BASELINE
    with stage(BASELINE, folder):
        return distill(
            build(arch, space=space, seed=plan.seed, **best["model_options"]),
            plan.train,
            teacher,
            output_dir=folder,
            how=plan.how if teacher is not None else Distillation(guidance=None),
            recipe=plan.chosen.recipe,
            img_size=plan.options["img_size"],
            **plan.training,
        )


def _announce(plan: Plan, name: str, detail: str) -> None:
    if plan.progress:
        note(f"{name}: {detail}")
