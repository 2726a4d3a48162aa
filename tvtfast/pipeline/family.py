"""Train what was picked from a family of grown models, one after the other."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tvtfast.common.progress import note
from tvtfast.data import VisionDataset
from tvtfast.distill import STUDENT_RECIPE, Distillation, Recipe, TrainedStudent, distill
from tvtfast.growing import Family, Pick, write_family
from tvtfast.models import Teacher

STUDENTS = "students"
"""Folder of the trained models inside that of a family."""


def train_family(
    family: Family,
    folder: str | os.PathLike[str],
    dataset: str | os.PathLike[str] | VisionDataset,
    teacher: Teacher | None = None,
    *,
    how: Distillation | None = None,
    recipe: Recipe = STUDENT_RECIPE,
    progress: bool = False,
    **training: Any,
) -> dict[float, TrainedStudent]:
    """Train the models that were picked for targets, smallest target first.

    Each has a student folder of its own, ``students/target-N`` for N parameters, as
    `tvtfast.distill.distill` writes it. The same call continues a training that was stopped and
    does not repeat those that are finished. A model that was picked for several targets is trained
    once. After each training its accuracy stands in ``picked.json`` and in the family's report.

    Args:
        family: What `tvtfast.grow` returned.
        folder: Where the family lies.
        dataset: What `tvtfast.data.load_dataset` takes as name, or training images (with ``test``).
        teacher: Who guides the training; default nobody.
        how: How the teacher takes part.
        recipe: Hyperparameters; with ``tokens`` those of progressive training.
        progress: Say on stderr which model is trained, and show progress bars.
        **training: Further arguments of `tvtfast.distill.distill`, such as ``data_path``, ``test``,
            ``seed``, ``device`` and ``workers``.

    Returns:
        By target what its training ended with.

    Raises:
        ValueError: A family without picks, or arguments that do not go together.
        RunError: A student folder holds another training.
        TrainingError: The loss is no longer finite, or files cannot be written.
    """
    if not family.picks:
        raise ValueError("the family has no picks to train; grow it with target_params")
    folder = Path(folder)
    trained: dict[float, TrainedStudent] = {}
    by_model: dict[Any, TrainedStudent] = {}
    for pick in sorted(family.picks, key=lambda one: one.target_params):
        model = pick.model.model
        if model not in by_model:
            if progress:
                note(f"training {pick.model.params / 1e6:.2f} M parameters")
            by_model[model] = distill(
                family.describe(pick.model),
                dataset,
                teacher,
                output_dir=folder / STUDENTS / _name(pick),
                how=how,
                recipe=recipe,
                progress=progress,
                **training,
            )
        trained[pick.target_params] = by_model[model]
        known = {target: _described(one, folder) for target, one in trained.items()}
        write_family(family, folder, known)
    return trained


def _name(pick: Pick) -> str:
    return f"target-{pick.target_params:.0f}"


def _described(trained: TrainedStudent, folder: Path) -> Mapping[str, Any]:
    return {
        "accuracy": trained.accuracy,
        "held_out_accuracy": trained.held_out_accuracy,
        "epochs": len(trained.history),
        "seconds": sum(row["seconds"] for row in trained.history),
        "student": os.path.relpath(trained.folder, folder),
    }
