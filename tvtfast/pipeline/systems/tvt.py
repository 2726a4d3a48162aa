"""TVT: a teacher, a search for the student that suits it, and distillation."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Any, ClassVar

from torch import nn

from tvtfast.distill import (
    DIGITS_TEACHER,
    DIGITS_TEACHER_RECIPE,
    train_teacher,
)
from tvtfast.models import Teacher
from tvtfast.pipeline.defaults import DIGITS_RECIPE, Defaults
from tvtfast.pipeline.finalists.choosing import DEFAULT
from tvtfast.pipeline.plan import Plan, TeacherSource
from tvtfast.pipeline.sections import search_section, tournament_section
from tvtfast.pipeline.stage_errors import stage
from tvtfast.pipeline.stages import (
    BASELINE,
    EXPORT,
    PLAIN,
    SEARCH,
    STUDENT,
    TEACHER,
    TOURNAMENT,
    Outcome,
    announce,
    baseline,
    contested,
    exported,
    ranking_warning,
    searched,
    trained,
)
from tvtfast.pipeline.systems.base import System
from tvtfast.report import StageSection


class TVT(System):
    """A student that a ConvNet teacher is good for: found without training any, then distilled."""

    name: ClassVar[str] = "tvt"
    summary: ClassVar[str] = "a teacher, a search for the student that suits it, distillation"
    space: ClassVar[str] = "autoformer-tiny"
    stages: ClassVar[tuple[str, ...]] = (
        TEACHER,
        SEARCH,
        TOURNAMENT,
        STUDENT,
        PLAIN,
        BASELINE,
        EXPORT,
    )
    takes: ClassVar[frozenset[str]] = frozenset(
        {"teacher", "teacher_arch", "teacher_recipe", "how", "finalists", "train_hours"}
    )

    def defaults(self, dataset: str) -> Defaults:
        """Those of ``digits`` are for two CPU cores and a quarter of an hour: images of 8 x 8
        pixels shown as 32 x 32 need no more than 16 patches, no flips and few epochs."""
        if dataset != "digits":
            return Defaults()
        return Defaults(
            teacher_arch=DIGITS_TEACHER,
            teacher_recipe=DIGITS_TEACHER_RECIPE,
            recipe=DIGITS_RECIPE,
            patch_size=8,
        )

    def settings(self, plan: Plan) -> dict[str, Any]:
        """The teacher, and how it takes part."""
        given = plan.given is not None
        return {
            "teacher": _named(plan.source) if given else plan.chosen.teacher_arch,
            "teacher fingerprint": plan.given and plan.given.fingerprint,
            "teacher recipe": None if given else asdict(plan.chosen.teacher_recipe),
            "distillation": asdict(plan.how),
        }

    def run(self, plan: Plan) -> Outcome:
        """Teacher, search, distillation or a tournament, and what it is held against."""
        teacher = self._teacher(plan)
        guided = teacher if plan.how.needs_teacher else None
        scoring = {"constraints": plan.constraints, "teacher": teacher, "images": plan.train}
        if plan.finalists is not None:
            found = contested(plan, guided, plan.finalists, **scoring)
            exported(plan, found.student)
            return Outcome(
                found.winner.described,
                found.student,
                found.default if found.winner.roles[0] != DEFAULT else None,
                teacher=teacher,
                tournament=found,
            )
        best = searched(
            plan,
            lambda known: known.get("teacher_fingerprint") == teacher.fingerprint,
            **scoring,
        )
        student = trained(plan, STUDENT, best, guided)
        plain = trained(plan, PLAIN, best) if plan.compare and guided is not None else None
        beside = baseline(plan, best, guided)
        exported(plan, student)
        return Outcome(best, student, beside, plain, teacher)

    def _teacher(self, plan: Plan) -> Teacher:
        if plan.given is not None:
            return plan.given
        announce(plan, TEACHER, plan.chosen.teacher_arch)
        folder = plan.folder / TEACHER
        with stage(TEACHER, folder):
            return train_teacher(
                plan.chosen.teacher_arch,
                plan.train,
                output_dir=folder,
                recipe=plan.chosen.teacher_recipe,
                **plan.training,
            )

    def sections(self, plan: Plan, outcome: Outcome) -> tuple[StageSection, ...]:
        """The search, and the tournament where there was one."""
        assert outcome.teacher is not None
        low, high = (bound / 1e6 for bound in plan.window)
        text = (
            f"Architectures of {plan.space.name} with {low:.3g} to {high:.3g} million parameters, "
            f"scored untrained with the teacher {outcome.teacher.name}."
        )
        warning = ranking_warning(outcome.best)
        text += f" {warning}." * bool(warning)
        if outcome.tournament is None:
            return (search_section(plan, text),)
        return search_section(plan, text), tournament_section(plan, outcome.tournament)


def _named(source: TeacherSource | None) -> str:
    if isinstance(source, Teacher):
        return f"{source.name} {source.fingerprint}"
    return type(source).__name__ if isinstance(source, nn.Module) else os.fspath(source or "")
