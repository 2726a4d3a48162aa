"""From the stages of a run to its report."""

from __future__ import annotations

import csv
import json
import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from tvtfast.common.cost import Cost
from tvtfast.common.files import CONFIG
from tvtfast.common.imports import import_words
from tvtfast.common.machine import machine, versions
from tvtfast.common.run_folder import RECORD
from tvtfast.data import frozen_batch
from tvtfast.distill import TrainedStudent
from tvtfast.models import SpatialFeatures, Teacher, build, count_flops, last_features
from tvtfast.pipeline.baseline import deit_like
from tvtfast.pipeline.finalists.reporting import networks
from tvtfast.pipeline.plan import Plan
from tvtfast.pipeline.stage_errors import read_json
from tvtfast.pipeline.stages import (
    BASELINE,
    EXPORT,
    GROWTH,
    PLAIN,
    SEARCH,
    STUDENT,
    SUPERFORMER,
    TEACHER,
    TOURNAMENT,
    Outcome,
)
from tvtfast.pipeline.systems.base import System
from tvtfast.report import RunReport, TrainedNetwork, cost_facts, write_run_report
from tvtfast.searching.report import attention_panel, shown
from tvtfast.supernet import FinishedTraining

_SHOWN_IMAGES = 6


def seconds_of(plan: Plan, system: System, outcome: Outcome) -> dict[str, float]:
    """Seconds per stage of the run, in their order: of all epochs of a training, and of the last
    start of a search and of growth."""
    contest = outcome.tournament
    found = {
        TEACHER: math.fsum(_column(_teacher_log(plan, outcome), "seconds"))
        if plan.given is None
        else 0.0,
        SUPERFORMER: _history_seconds(outcome.superformer),
        SEARCH: math.fsum(read_json(plan.folder / SEARCH / RECORD)["seconds"].values()),
        TOURNAMENT: 0.0
        if contest is None
        else math.fsum(one.seconds for one in contest.courses.values()),
        STUDENT: _history_seconds(None if contest else outcome.student),
        PLAIN: _history_seconds(outcome.plain),
        BASELINE: _history_seconds(None if contest else outcome.baseline),
    }
    if GROWTH in system.stages:
        found[GROWTH] = read_json(plan.folder / GROWTH / RECORD)["seconds"]
    return {name: found[name] for name in system.stages if found.get(name, 0.0) > 0}


def report_run(
    plan: Plan,
    system: System,
    outcome: Outcome,
    settings: Mapping[str, Any],
    seconds: Mapping[str, float],
    cost: Cost,
) -> Path:
    """Write ``report.html`` and its figures into the run folder; returns the page."""
    best, teacher = outcome.best, outcome.teacher
    millions = f"{best['params'] / 1e6:.2f} M"
    return write_run_report(
        RunReport(
            title=f"A student of {millions} parameters for {plan.train.name}",
            system=f"{system.name}: {system.summary}",
            teacher=None if teacher is None else _teacher(plan, outcome, teacher, seconds),
            student=_network("student", outcome.student, best["params"], best["flops"], teacher),
            others=(*_others(outcome), *system.extras(outcome)),
            test_images=len(plan.test),
            held_out_images=0 if plan.held_out is None else len(plan.held_out),
            arch=json.dumps(best["arch"]),
            stages=seconds,
            sections=system.sections(plan, outcome),
            attention=None
            if teacher is None
            else attention_panel(*_attention(plan, outcome, teacher)),
            settings={name: shown(value) for name, value in settings.items()},
            machine=versions() | machine(),
            commands=_commands(plan, outcome),
            cost=cost_facts(cost),
        ),
        plan.folder,
    )


def _others(outcome: Outcome) -> tuple[TrainedNetwork, ...]:
    if outcome.tournament is not None:
        return networks(outcome.tournament)[1:]
    best, others = outcome.best, []
    if outcome.plain is not None:
        others.append(
            _network(
                "the same student, plainly", outcome.plain, best["params"], best["flops"], None
            )
        )
    if outcome.baseline is not None:
        space, arch = deit_like(best["params"], **best["model_options"])
        counts = (
            space.params(arch, **best["model_options"]),
            space.flops(arch, **best["model_options"]),
        )
        name = f"DeiT-like ViT of width {arch.hidden_dim}"
        others.append(_network(name, outcome.baseline, *counts, outcome.teacher))
    return tuple(others)


def _network(
    name: str, trained: TrainedStudent, params: int, flops: int, teacher: Teacher | None
) -> TrainedNetwork:
    how = trained.student.card.recipe["distillation"]
    guides = [] if how is None else [how[term] for term in ("guidance", "logits") if how[term]]
    taught = "" if teacher is None else f" by {teacher.name}"
    return TrainedNetwork(
        name=name,
        training=f"{' and '.join(guides)} guidance{taught}" if guides else "without a teacher",
        params=params,
        flops=flops,
        accuracy=trained.accuracy,
        held_out_accuracy=_number(trained.held_out_accuracy),
        seconds=_history_seconds(trained),
        curve=_curve(trained.history),
    )


def _teacher(
    plan: Plan, outcome: Outcome, teacher: Teacher, seconds: Mapping[str, float]
) -> TrainedNetwork:
    curve = _curve(_teacher_log(plan, outcome))
    side = teacher.input_size or plan.options["img_size"]
    return TrainedNetwork(
        name=f"teacher {teacher.name}",
        training="from scratch" if plan.given is None else "given",
        params=sum(parameter.numel() for parameter in teacher.module.parameters()),
        flops=_teacher_flops(teacher, side),
        accuracy=_stated(plan, "accuracy"),
        held_out_accuracy=_stated(plan, "held_out_accuracy"),
        seconds=seconds.get(TEACHER, math.nan),
        curve=curve,
    )


def _teacher_flops(teacher: Teacher, side: int) -> int:
    with teacher.evaluating() as module:
        device = next(module.parameters()).device
        return count_flops(module, torch.zeros(1, 3, side, side, device=device))


def _teacher_log(plan: Plan, outcome: Outcome) -> list[dict[str, str]]:
    """The log of the teacher's training, where it was trained on these images."""
    folder = None if outcome.teacher is None else _teacher_folder(plan)
    if folder is None or not (folder / "log.csv").exists():
        return []
    with open(folder / "log.csv", newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def _stated(plan: Plan, name: str) -> float:
    """An accuracy in the teacher's card."""
    folder = _teacher_folder(plan)
    return math.nan if folder is None else _number(read_json(folder / "teacher.json").get(name))


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _curve(rows: Sequence[Mapping[str, Any]]) -> tuple[float, ...]:
    """Accuracies of the held-out images after every epoch; empty where there are none."""
    return tuple(float(row["accuracy"]) for row in rows if "accuracy" in row)


def _teacher_folder(plan: Plan) -> Path | None:
    if plan.given is None:
        return plan.folder / TEACHER
    if plan.given.folder is None:
        return None
    card = plan.given.folder / "teacher.json"
    same = card.exists() and read_json(card).get("dataset") == plan.train.name
    return card.parent if same else None


def _column(log: Sequence[Mapping[str, str]], name: str) -> list[float]:
    return [float(row[name]) for row in log]


def _history_seconds(trained: TrainedStudent | FinishedTraining | None) -> float:
    return 0.0 if trained is None else math.fsum(row["seconds"] for row in trained.history)


def _attention(
    plan: Plan, outcome: Outcome, teacher: Teacher
) -> tuple[Any, dict[str, SpatialFeatures]]:
    """Test images, and the last features of teacher and students for them."""
    side = plan.options["img_size"]
    count = min(_SHOWN_IMAGES, len(plan.test))
    batch = frozen_batch(plan.test, count, img_size=side, seed=plan.seed)
    device = next(teacher.module.parameters()).device
    taught = teacher.features(batch.images.to(device), normalization=batch.normalization)
    of_space = outcome.tournament is None or outcome.tournament.winner.row is not None
    untrained = build(
        outcome.best["arch"],
        space=plan.space if of_space else outcome.best["space"],
        seed=plan.seed,
        **outcome.best["model_options"],
    )
    students = {
        "student before training": untrained,
        "student after training": outcome.student.student.module,
    }
    if outcome.plain is not None:
        students["after training without a teacher"] = outcome.plain.student.module
    with torch.no_grad():
        features = {name: last_features(m.cpu(), batch.images) for name, m in students.items()}
    return batch, {f"teacher: {teacher.name}": taught[-1], **features}


def _commands(plan: Plan, outcome: Outcome) -> dict[str, str]:
    modules = import_words()
    export, student = plan.folder / EXPORT, outcome.student.folder
    predict = ["tvtfast", "predict", "--student", str(export), "--images", "FOLDER"]
    onnx = ["tvtfast", "export", "--student", str(student), "--output", "student.onnx"]
    commands = {
        "Classify images": shlex.join([*predict, *modules]),
        "Hand the student over as ONNX": shlex.join([*onnx, *modules]),
    }
    if (plan.folder / CONFIG).exists():
        again = ["tvtfast", "run", "--cfg", str(plan.folder / CONFIG)]
        commands["Run it again"] = shlex.join([*again, *modules])
    return commands
