"""Train finalists rung by rung, each in one training that goes on."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tvtfast.common.fallbacks import logger
from tvtfast.common.progress import note
from tvtfast.data import VisionDataset
from tvtfast.distill import Distillation, Recipe, TrainedStudent, distill
from tvtfast.models import Teacher
from tvtfast.pipeline.finalists.choosing import Finalist
from tvtfast.pipeline.finalists.record import Record
from tvtfast.pipeline.finalists.rungs import Rungs
from tvtfast.pipeline.stage_errors import stage
from tvtfast.training.training_folder import DivergedError

FOLDER = "finalists"
_PROBE = "probe"


@dataclass(frozen=True, eq=False)
class Trainings:
    """The trainings of a tournament.

    A training goes on from rung to rung. Within a rung the learning rate falls along the cosine of
    all epochs up to the end of that rung, so it ends at its least and an accuracy is that of a
    network that has come to rest; the next rung begins higher again. All finalists of a rung have
    had the same epochs under the same rates, those that are trained to the end for the comparison
    included.

    Args:
        folder: Of the tournament.
        record: What is known.
        train: Images to train on.
        teacher: Who guides; ``None`` for plain training.
        how: How.
        recipe: Of all epochs.
        arguments: What else `tvtfast.distill.distill` is given.
        progress: Say which finalist is trained.
    """

    folder: Path
    record: Record
    train: VisionDataset
    teacher: Teacher | None
    how: Distillation
    recipe: Recipe
    arguments: Mapping[str, Any]
    progress: bool

    def measure(self, finalists: Sequence[Finalist]) -> float:
        """Seconds of an epoch of the finalist of the most FLOPs: of a training of one epoch, whose
        weights are not used."""
        slowest = max(finalists, key=lambda one: one.flops)
        folder = self.folder / _PROBE
        with stage(_PROBE, folder):
            found = self._distill(slowest, folder, 1, read_test=False, warmup_epochs=None)
        seconds = math.fsum(row["seconds"] for row in found.history)
        shutil.rmtree(folder)
        return seconds

    def to_rung(self, finalist: Finalist, rung: int, rungs: Rungs) -> None:
        """Train a finalist to the end of a rung, unless it has been, or has failed."""
        record = self.record
        while record.course(finalist).failed is None and record.accuracy(finalist, rung) is None:
            begun = len(record.course(finalist).accuracies)
            if self.progress:
                note(
                    f"{finalist.name} ({', '.join(finalist.roles)}): rung {begun + 1} of "
                    f"{len(rungs.epochs)}, to epoch {rungs.epochs[begun]}"
                )
            folder = self.folder / FOLDER / finalist.name
            try:
                with stage(finalist.name, folder):
                    found = self._distill(finalist, folder, rungs.epochs[begun], read_test=False)
            except DivergedError as error:
                logger.warning("%s goes out of the tournament: %s", finalist.name, error)
                record.failed(finalist, str(error))
                return
            assert found.held_out_accuracy is not None
            seconds = math.fsum(row["seconds"] for row in found.history)
            record.ended(finalist, found.held_out_accuracy, seconds)

    def tested(self, finalist: Finalist, rungs: Rungs) -> TrainedStudent:
        """A finalist that was trained to the end, with its accuracy on the test images."""
        folder = self.folder / FOLDER / finalist.name
        with stage(finalist.name, folder):
            return self._distill(finalist, folder, rungs.epochs[-1], read_test=True)

    def _distill(
        self, finalist: Finalist, folder: Path, epochs: int, *, read_test: bool, **changes: Any
    ) -> TrainedStudent:
        return distill(
            finalist.described,
            self.train,
            self.teacher,
            output_dir=folder,
            how=self.how,
            recipe=replace(self.recipe, epochs=epochs, **changes),
            keep_state=True,
            read_test=read_test,
            **self.arguments,
        )
