"""From scores to one trained student: finalists are trained briefly, and the better ones longer."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tvtfast import spaces
from tvtfast.common import checks
from tvtfast.common.identity import Identity
from tvtfast.common.run_folder import RunFolder
from tvtfast.data import SEARCH_SPLIT, VisionDataset
from tvtfast.distill import STUDENT_RECIPE, Distillation, Recipe
from tvtfast.models import Teacher, load_teacher
from tvtfast.pipeline.finalists.checking import check_held_out, check_recipe
from tvtfast.pipeline.finalists.choosing import Field
from tvtfast.pipeline.finalists.contest import Contest
from tvtfast.pipeline.finalists.identity import of_candidates, of_images
from tvtfast.pipeline.finalists.record import FILE, Record
from tvtfast.pipeline.finalists.reporting import report_tournament
from tvtfast.pipeline.finalists.result import TournamentResult
from tvtfast.pipeline.finalists.rungs import LEAST
from tvtfast.pipeline.finalists.training import FOLDER, Training, Trainings
from tvtfast.report import draw_live
from tvtfast.scoring import Calibration, ScoreTable
from tvtfast.scoring.executors import Executor, at_work, check_executor
from tvtfast.spaces import ModelOptions, Space
from tvtfast.training.checking import check_training
from tvtfast.training.guide import check_classes
from tvtfast.training.images import images


def tournament(
    table: ScoreTable,
    dataset: str | os.PathLike[str] | VisionDataset,
    teacher: str | os.PathLike[str] | nn.Module | Teacher | None = None,
    *,
    output_dir: str | os.PathLike[str],
    space: str | Space[Any],
    budget: float | None = None,
    finalists: int = 8,
    train_hours: float | None = None,
    calibration: Calibration | None = None,
    how: Distillation | None = None,
    recipe: Recipe = STUDENT_RECIPE,
    compare: bool = True,
    data_path: str | os.PathLike[str] | None = None,
    test: VisionDataset | None = None,
    held_out: VisionDataset | None = None,
    search_split: float = SEARCH_SPLIT,
    seed: int = 0,
    device: torch.device | str | None = None,
    workers: int = 0,
    executor: Executor | int | str | None = None,
    progress: bool = False,
    **options: Any,
) -> TournamentResult:
    """Train K finalists briefly, the better half of them longer, and so on to one student.

    The finalists are the DeiT-like ViT that the budget allows (`tvtfast.pipeline.deit_like`), the
    candidate of the most parameters, the one of the best score, the best by every proxy of the
    table, and candidates unlike these. Of R = 1 + ceil(log2 K) rungs rung r (from 1) begins with
    ceil(K / 2^(r-1)) finalists and ends after E / 2^(R-r) epochs, rounded down; those of the lower
    held-out accuracy go. After the first rung `tvtfast.calibrate` is fitted to what it told, and
    floor(K / 2) candidates of the largest expected improvement enter it, once, before it is
    decided. A finalist has one training (`tvtfast.distill.distill`), which goes on from rung to
    rung: in every rung the learning rate falls along the cosine of its epochs, so that accuracies
    are those of networks that have come to rest, and all had the same epochs under the same rates.

    Nothing is chosen by the test images. They are read once per network at the end: of the winner,
    and of the picks that it is held against.

    The folder holds ``tournament.json`` (finalists, rungs, accuracies), a student folder per
    finalist in ``finalists``, ``calibration`` (the proxy ``calibrated:FOLDER``),
    ``comparison.csv``, ``tournament.png``, ``report.html`` and ``run.json``. The same call
    continues a tournament that was stopped in whatever way: no training is repeated, and on the CPU
    it ends with bitwise the weights of one that was never stopped. One process trains, one
    finalist at a time, where no ``executor`` is given.

    Args:
        table: Scores of candidates of a space, by `tvtfast.score` or `tvtfast.search` (with
            ``racing=False``, since a calibration takes no estimates).
        dataset: What `tvtfast.data.load_dataset` takes as name, or training images (with ``test``).
        teacher: What `tvtfast.load_teacher` takes; default nobody guides.
        output_dir: The folder. It holds one tournament.
        space: Space of the candidates, or its name; one of `tvtfast.spaces.available`.
        budget: Most parameters; default those of the largest candidate.
        finalists: K, at least 4.
        train_hours: Time for all trainings, those of the comparison included. An epoch of the
            finalist of the most FLOPs is measured, and E is the largest number, up to the recipe's,
            that fits. It is a plan and no deadline: nothing is cut short. Default the epochs of the
            recipe.
        calibration: What the score is foretold by; default the combination of the table's proxies
            (`tvtfast.rank`).
        how: How the teacher takes part; default the published guidance with a teacher.
        recipe: Hyperparameters, with E as ``epochs``.
        compare: Also train to the end, by the same rungs, the default and the picks by parameters,
            by score and by every proxy.
        data_path: Folder of a data set given by name.
        test: Images to test on; only with training images.
        held_out: Images to choose by; only with training images. Default part of them.
        search_split: As for `tvtfast.distill.distill`; 0 is refused.
        seed: Of weights, order, augmentation and dropout.
        device: Default the GPU, else the CPU.
        workers: Processes that load images; the result does not depend on it.
        executor: Who trains finalists, see `tvtfast.scoring.Scoring`; several at the same time, one
            thread each. Weights do not depend on how many there are. Workers on other machines need
            ``output_dir`` under the same path.
        progress: Say on stderr which finalist is trained, and show progress bars.
        **options: Model options that the candidates were scored with
            (`tvtfast.spaces.ModelOptions`).

    Raises:
        ValueError: Too few candidates, finalists, epochs or hours, no held-out images, a space that
            is not registered, or arguments that do not go together.
        RunError: The folder holds another tournament, or another process works on it.
        TrainingError: No finalist is left, since the loss of all was no longer finite; or files
            cannot be written. A single one goes out, with a warning.

    Source of the rungs: Jamieson and Talwalkar, "Non-stochastic Best Arm Identification and
    Hyperparameter Optimization", AISTATS 2016.
    """
    check_executor(executor)
    check_training(seed=seed, workers=workers, device=device, output_dir=output_dir)
    finalists = checks.whole("finalists", finalists, least=LEAST)
    if train_hours is not None:
        train_hours = checks.real("train_hours", train_hours, above=0)
    splits = images(dataset, data_path, test, held_out, search_split)
    check_held_out(splits)
    check_recipe(recipe, finalists)
    if how is None:
        how = Distillation() if teacher is not None else Distillation(guidance=None)
    options = {
        "num_classes": splits.train.num_classes,
        "img_size": splits.train.img_size,
        "distilled": how.logits is not None,
        **options,
    }
    candidates = _field(table, space, ModelOptions.of(**options), budget, calibration)
    loaded = None if teacher is None else load_teacher(teacher, device=device)
    if loaded is not None:
        check_classes(how, loaded, splits.train.num_classes)
    settings = {
        "finalists": finalists,
        "train hours": train_hours,
        "compare": compare,
        **of_candidates(candidates),
        **of_images(splits),
        "recipe": asdict(recipe),
        "distillation": asdict(how),
        "teacher": loaded and loaded.name,
        "teacher fingerprint": loaded and loaded.fingerprint,
        "seed": seed,
    }
    folder = RunFolder(output_dir, Identity("tournament", settings), holds=_holds, draw=draw_live)
    training = Training(
        folder.path,
        splits.train,
        loaded,
        how,
        recipe,
        {
            "test": splits.test,
            "held_out": splits.held_out,
            "search_split": splits.share,
            "seed": seed,
            "device": device,
            "workers": workers,
            "progress": progress and executor is None,
        },
    )
    with folder.claimed() as claimed, at_work(executor) as crew:
        record = Record(folder.path)
        claimed.board.offer("curves", record.curves)
        trainings = Trainings(training, record, crew, progress)
        played = Contest(candidates, record, trainings, finalists, train_hours, compare)
        played.plan()
        winner = played.play()
        student, compared = played.test(winner)
        found = TournamentResult(
            folder=folder.path,
            winner=winner,
            student=student,
            finalists=record.finalists,
            courses=dict(record.courses),
            played=dict(played.rungs_of),
            compared=compared,
            rungs=played.rungs,
            calibration=played.learnt,
            notes=record.notes,
            cost=claimed.meter.read(),
            report=folder.path / "report.html",
        )
        report_tournament(found, settings, len(splits.test))
        claimed.results = {"winner": winner.name, "held_out_accuracy": student.held_out_accuracy}
    return found


def _field(
    table: ScoreTable,
    space: str | Space[Any],
    options: ModelOptions,
    budget: float | None,
    calibration: Calibration | None,
) -> Field:
    """The candidates, checked.

    Raises:
        ValueError: They are none of a registered space.
    """
    resolved = spaces.get(space)
    if resolved.name not in spaces.available() or spaces.get(resolved.name) is not resolved:
        raise ValueError(
            f"students of {resolved.name!r} are loaded again by the name of their space; enter the "
            "space with tvtfast.spaces.register"
        )
    strange = [one for one in table.candidates if not isinstance(one, resolved.arch_type)]
    if strange:
        raise ValueError(
            f"the table has {len(strange)} candidates that are no architectures of "
            f"{resolved.name!r}; a tournament builds them anew, give a table of architectures"
        )
    most = float(table["params"].max()) if budget is None else float(budget)
    return Field(table, resolved, options, checks.real("budget", most, above=0), calibration)


def _holds(folder: Path) -> bool:
    return (folder / FILE).exists() or (folder / FOLDER).exists()
