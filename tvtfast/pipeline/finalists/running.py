"""From scores to one trained student: finalists are trained briefly, and the better ones longer."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tvtfast import spaces
from tvtfast.common import checks
from tvtfast.common.fallbacks import logger
from tvtfast.common.hashing import fingerprint
from tvtfast.common.identity import Identity
from tvtfast.common.progress import note
from tvtfast.common.run_folder import RunFolder
from tvtfast.data import SEARCH_SPLIT, Splits, VisionDataset
from tvtfast.distill import STUDENT_RECIPE, Distillation, Recipe, TrainedStudent
from tvtfast.models import Teacher, load_teacher
from tvtfast.pipeline.finalists.choosing import Field, Finalist, choose_finalists, propose
from tvtfast.pipeline.finalists.record import FILE, Record, best_of
from tvtfast.pipeline.finalists.reporting import report_tournament
from tvtfast.pipeline.finalists.result import TournamentResult
from tvtfast.pipeline.finalists.rungs import LEAST, Rungs, rungs_within
from tvtfast.pipeline.finalists.training import FOLDER, Trainings
from tvtfast.scoring import Calibration, ScoreTable, calibrate
from tvtfast.spaces import ModelOptions, Space
from tvtfast.training.checking import check_training
from tvtfast.training.guide import check_classes
from tvtfast.training.images import images
from tvtfast.training.training_folder import TrainingError

CALIBRATION = "calibration"
"""Folder of what the first rung told, inside that of the tournament."""


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
    finalist at a time.

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
        **_of_field(candidates),
        **_of_images(splits),
        "recipe": asdict(recipe),
        "distillation": asdict(how),
        "teacher": loaded and loaded.name,
        "teacher fingerprint": loaded and loaded.fingerprint,
        "seed": seed,
    }
    folder = RunFolder(output_dir, Identity("tournament", settings), holds=_holds)
    with folder.claimed() as claimed:
        record = Record(folder.path)
        training = Trainings(
            folder.path,
            record,
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
                "progress": progress,
            },
            progress,
        )
        played = _Tournament(candidates, record, training, finalists, train_hours, compare)
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


@dataclass(eq=False)
class _Tournament:
    """The steps, each of which does nothing where it was done before."""

    candidates: Field
    record: Record
    training: Trainings
    count: int
    hours: float | None
    compare: bool
    learnt: Calibration | None = None
    rungs_of: dict[str, int] = field(default_factory=dict)

    @property
    def rungs(self) -> Rungs:
        """They are decided."""
        assert self.record.rungs is not None
        return self.record.rungs

    def plan(self) -> None:
        """Choose finalists and rungs."""
        record = self.record
        if not record.finalists:
            record.finalists, left_out = choose_finalists(self.candidates, self.count)
            if left_out:
                self._note(f"no place for the picks by {', '.join(left_out)}; give more finalists")
            record.write()
        if record.rungs is None:
            record.rungs = self._rungs()
            record.write()

    def _rungs(self) -> Rungs:
        record, recipe = self.record, self.training.recipe
        if self.hours is None:
            return Rungs.of(self.count, recipe.epochs)
        if record.seconds_per_epoch is None:
            record.seconds_per_epoch = self.training.measure(record.finalists)
            record.write()
        compared = sum(one.compared for one in record.finalists) if self.compare else 0
        found = rungs_within(self.hours, record.seconds_per_epoch, self.count, compared, recipe)
        check_recipe(recipe, self.count, found.epochs[0])
        return found

    def play(self) -> Finalist:
        """All rungs; the winner."""
        alive = list(self.record.finalists[: self.count])
        last = len(self.rungs.epochs) - 1
        for rung in range(last + 1):
            self._say(rung, len(alive))
            for one in alive:
                self.training.to_rung(one, rung, self.rungs)
            if rung == 0:
                alive += self._newcomers()
            self.rungs_of |= {one.name: rung + 1 for one in alive}
            keep = 1 if rung == last else self.rungs.sizes[rung + 1]
            alive = best_of(self.record, alive, rung, keep)
            if not alive:
                raise TrainingError(
                    f"no finalist ended rung {rung + 1}: every training diverged. Lower the "
                    "learning rate or limit the gradient (clip_grad), in another output folder"
                )
        return alive[0]

    def _newcomers(self) -> list[Finalist]:
        """What the first rung proposes, trained to its end."""
        record = self.record
        self.learnt = self._calibrated(record.finalists[: self.count])
        if not record.proposed:
            if self.learnt is not None:
                found = propose(self.candidates, self.learnt, record.finalists, self.rungs.proposed)
                if len(found) < self.rungs.proposed:
                    self._note(
                        f"{len(found)} of {self.rungs.proposed} candidates are proposed: the table "
                        "has no others"
                    )
                record.finalists = (*record.finalists, *found)
            record.proposed = True
            record.write()
        fresh = list(record.finalists[self.count :])
        for one in fresh:
            self.training.to_rung(one, 0, self.rungs)
        if fresh:
            self.learnt = self._calibrated(record.finalists) or self.learnt
        if self.learnt is not None:
            self.learnt.save(self.training.folder / CALIBRATION)
        return fresh

    def _calibrated(self, finalists: tuple[Finalist, ...]) -> Calibration | None:
        """What the first rung tells; ``None``, with a note, where that is nothing."""
        found = {
            one.row: accuracy
            for one in finalists
            if one.row is not None and (accuracy := self.record.accuracy(one, 0)) is not None
        }
        try:
            return calibrate(self.candidates.table, found)
        except ValueError as error:
            self._note(f"the first rung cannot be calibrated, so nothing is proposed: {error}")
            return None

    def test(self, winner: Finalist) -> tuple[TrainedStudent, dict[str, TrainedStudent]]:
        """Read the test images for the winner and what it is compared with."""
        last = len(self.rungs.epochs) - 1
        compared = [
            one
            for one in self.record.finalists
            if self.compare and one.compared and one.name != winner.name
        ]
        for one in compared:
            self.training.to_rung(one, last, self.rungs)
        trained = [one for one in compared if self.record.accuracy(one, last) is not None]
        student = self.training.tested(winner, self.rungs)
        return student, {one.name: self.training.tested(one, self.rungs) for one in trained}

    def _note(self, text: str) -> None:
        """Say something once, and keep it."""
        if text not in self.record.notes:
            logger.warning(text)
            self.record.notes = (*self.record.notes, text)

    def _say(self, rung: int, count: int) -> None:
        if self.training.progress:
            note(
                f"rung {rung + 1} of {len(self.rungs.epochs)}: {count} finalists, to epoch "
                f"{self.rungs.epochs[rung]}"
            )


def check_held_out(splits: Splits) -> None:
    """Refuse images none of which can decide.

    Raises:
        ValueError: Nothing is held out.
    """
    if splits.held_out is None:
        raise ValueError(
            "finalists go by held-out images, and search_split=0 holds none out; give a share "
            "above 0"
        )


def check_recipe(recipe: Recipe, finalists: int, first: int | None = None) -> None:
    """Refuse a recipe that rungs cannot be made of.

    Args:
        recipe: Of the trainings.
        finalists: K.
        first: Epochs of the first rung; ``None`` for those that all epochs of the recipe give.

    Raises:
        ValueError: Too few epochs, warm-up beyond the first rung, or progressive tokens.
    """
    if recipe.tokens is not None:
        raise ValueError(
            "the recipe has progressive tokens, which are laid over the epochs of one training, "
            "and that of a finalist goes on from rung to rung; give a recipe with tokens=None"
        )
    epochs = Rungs.of(finalists, recipe.epochs).epochs[0] if first is None else first
    if recipe.warmup_epochs is not None and recipe.warmup_epochs >= max(epochs, 1):
        raise ValueError(
            f"warmup_epochs is {recipe.warmup_epochs}, and the first rung has {epochs} epochs; "
            "give fewer, or None for a share of them"
        )


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


def _of_field(field: Field) -> dict[str, Any]:
    """What the choice of finalists depends on. Scores of proxies that tell what they depend on
    stand for their values, which may differ in the last bits from machine to machine."""
    table = field.table
    texts = "\n".join(field.space.text(arch) for arch in table.candidates)
    told: dict[str, Any] = {}
    for proxy in table.scored:
        known = table.determined_by.get(proxy)
        told[proxy] = (
            {name: value for name, value in known.items() if name != "device"}
            if known
            else fingerprint(torch.from_numpy(table[proxy]))
        )
    learnt = field.calibration
    return {
        "space": field.space.name,
        "candidates": hashlib.sha256(texts.encode()).hexdigest(),
        "scores": json.loads(json.dumps(told)),
        "constraints": {name: list(window) for name, window in table.constraints.items()},
        "budget": field.budget,
        "calibration": None if learnt is None else fingerprint(torch.tensor(learnt.posterior.mean)),
        "model options": asdict(field.options),
    }


def _of_images(splits: Splits) -> dict[str, Any]:
    parts = [part for part in (splits.train, splits.held_out, splits.test) if part is not None]
    return {
        "data set": splits.train.name,
        "search split": splits.share,
        "images": [len(part) for part in parts],
        "labels": fingerprint(*(part.labels for part in parts)),
        "pixels": [part.fingerprint for part in parts],
    }


def _holds(folder: Path) -> bool:
    return (folder / FILE).exists() or (folder / FOLDER).exists()
