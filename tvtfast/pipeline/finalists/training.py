"""Train finalists rung by rung, each in one training that goes on."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from tvtfast.common.fallbacks import logger
from tvtfast.common.progress import note
from tvtfast.data import VisionDataset
from tvtfast.distill import Distillation, Recipe, TrainedStudent, distill
from tvtfast.models import Teacher
from tvtfast.pipeline.finalists.choosing import Finalist
from tvtfast.pipeline.finalists.record import Record
from tvtfast.pipeline.finalists.rungs import Rungs
from tvtfast.pipeline.stage_errors import stage
from tvtfast.scoring.executors import Executor
from tvtfast.training.training_folder import DivergedError

FOLDER = "finalists"
_PROBE = "probe"


@dataclass(frozen=True, eq=False)
class Training:
    """How every finalist is trained.

    Args:
        folder: Of the tournament.
        train: Images to train on.
        teacher: Who guides; ``None`` for plain training.
        how: How.
        recipe: Of all epochs.
        arguments: What else `tvtfast.distill.distill` is given.
    """

    folder: Path
    train: VisionDataset
    teacher: Teacher | None
    how: Distillation
    recipe: Recipe
    arguments: Mapping[str, Any]

    def folder_of(self, finalist: Finalist) -> Path:
        """Where the training of a finalist lies."""
        return self.folder / FOLDER / finalist.name

    def distill(
        self, finalist: Finalist, folder: Path, epochs: int, *, read_test: bool, **changes: Any
    ) -> TrainedStudent:
        """Train a finalist, from where its folder is, up to a number of epochs."""
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


class Ended(NamedTuple):
    """How a rung of a finalist ended.

    Args:
        accuracy: On held-out images, of its best epoch so far, in percent.
        seconds: Of all its epochs.
        failed: Why there is none; ``None`` where nothing was wrong.
    """

    accuracy: float = math.nan
    seconds: float = 0.0
    failed: str | None = None


@dataclass(frozen=True)
class RungOf:
    """The next rung of a finalist, a unit of work (`tvtfast.scoring.executors.Unit`). A worker that
    takes it over from one that ended goes on after the last epoch.

    Args:
        finalist: Who is trained.
        epochs: Where the rung ends.
    """

    finalist: Finalist
    epochs: int

    def run(self, training: Training) -> Ended:
        """Train it to the end of the rung."""
        folder = training.folder_of(self.finalist)
        try:
            with stage(self.finalist.name, folder):
                found = training.distill(self.finalist, folder, self.epochs, read_test=False)
        except DivergedError as error:
            return Ended(failed=str(error))
        assert found.held_out_accuracy is not None
        return Ended(found.held_out_accuracy, math.fsum(row["seconds"] for row in found.history))


@dataclass(frozen=True, eq=False)
class Trainings:
    """The trainings of a tournament.

    A training goes on from rung to rung. Within a rung the learning rate falls along the cosine of
    all epochs up to the end of that rung, so it ends at its least and an accuracy is that of a
    network that has come to rest; the next rung begins higher again. All finalists of a rung have
    had the same epochs under the same rates, those that are trained to the end for the comparison
    included.

    Args:
        training: How finalists are trained.
        record: What is known.
        executor: Who trains them; ``None`` for this process.
        progress: Say which finalist is trained.
    """

    training: Training
    record: Record
    executor: Executor | None
    progress: bool

    def measure(self, finalists: Sequence[Finalist]) -> float:
        """Seconds of an epoch of the finalist of the most FLOPs: of a training of one epoch, whose
        weights are not used."""
        slowest = max(finalists, key=lambda one: one.flops)
        folder = self.training.folder / _PROBE
        with stage(_PROBE, folder):
            found = self.training.distill(slowest, folder, 1, read_test=False, warmup_epochs=None)
        seconds = math.fsum(row["seconds"] for row in found.history)
        shutil.rmtree(folder)
        return seconds

    def to_rung(self, finalists: Sequence[Finalist], rung: int, rungs: Rungs) -> None:
        """Train finalists to the end of a rung, those that have not been, and have not failed."""
        while units := self._next(finalists, rung, rungs):
            for unit, ended in self._run(units, rungs):
                if ended.failed is None:
                    self.record.ended(unit.finalist, ended.accuracy, ended.seconds)
                    continue
                name = unit.finalist.name
                logger.warning("%s goes out of the tournament: %s", name, ended.failed)
                self.record.failed(unit.finalist, ended.failed)

    def tested(self, finalist: Finalist, rungs: Rungs) -> TrainedStudent:
        """A finalist that was trained to the end, with its accuracy on the test images."""
        folder = self.training.folder_of(finalist)
        with stage(finalist.name, folder):
            return self.training.distill(finalist, folder, rungs.epochs[-1], read_test=True)

    def _next(self, finalists: Sequence[Finalist], rung: int, rungs: Rungs) -> list[RungOf]:
        """The next rung of each that is not there yet."""
        record = self.record
        return [
            RungOf(one, rungs.epochs[len(record.course(one).accuracies)])
            for one in finalists
            if record.course(one).failed is None and record.accuracy(one, rung) is None
        ]

    def _run(self, units: Sequence[RungOf], rungs: Rungs) -> Iterator[tuple[RungOf, Ended]]:
        """Rungs as they end."""
        if self.executor is None:
            for unit in units:
                self._say(unit, rungs)
                yield unit, unit.run(self.training)
            return
        units = sorted(units, key=lambda unit: -unit.finalist.flops)
        for unit in units:
            self._say(unit, rungs)
        with closing(self.executor.run(self.training, units)) as outcomes:
            for outcome in outcomes:
                lost = f"its training ended two workers: {outcome.lost}"
                yield units[outcome.unit], outcome.result or Ended(failed=lost)

    def _say(self, unit: RungOf, rungs: Rungs) -> None:
        if self.progress:
            finalist, number = unit.finalist, rungs.epochs.index(unit.epochs) + 1
            note(
                f"{finalist.name} ({', '.join(finalist.roles)}): rung {number} of "
                f"{len(rungs.epochs)}, to epoch {unit.epochs}"
            )
