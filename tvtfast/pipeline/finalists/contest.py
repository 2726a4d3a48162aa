"""The course of a tournament: finalists, rungs, proposals, the winner, the comparison."""

from __future__ import annotations

from dataclasses import dataclass, field

from tvtfast.common.fallbacks import logger
from tvtfast.common.progress import note
from tvtfast.distill import TrainedStudent
from tvtfast.pipeline.finalists.checking import check_recipe
from tvtfast.pipeline.finalists.choosing import Field, Finalist, choose_finalists, propose
from tvtfast.pipeline.finalists.record import Record, best_of
from tvtfast.pipeline.finalists.rungs import Rungs, rungs_within
from tvtfast.pipeline.finalists.training import Trainings
from tvtfast.scoring import Calibration, calibrate
from tvtfast.training.training_folder import TrainingError

CALIBRATION = "calibration"
"""Folder of what the first rung told, inside that of the tournament."""


@dataclass(eq=False)
class Contest:
    """The steps, each of which does nothing where it was done before."""

    candidates: Field
    record: Record
    trainings: Trainings
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
        record, recipe = self.record, self.trainings.training.recipe
        if self.hours is None:
            return Rungs.of(self.count, recipe.epochs)
        if record.seconds_per_epoch is None:
            record.seconds_per_epoch = self.trainings.measure(record.finalists)
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
            self.trainings.to_rung(alive, rung, self.rungs)
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
        self.trainings.to_rung(fresh, 0, self.rungs)
        if fresh:
            self.learnt = self._calibrated(record.finalists) or self.learnt
        if self.learnt is not None:
            self.learnt.save(self.trainings.training.folder / CALIBRATION)
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
        self.trainings.to_rung(compared, last, self.rungs)
        trained = [one for one in compared if self.record.accuracy(one, last) is not None]
        self._note_better(winner, trained)
        student = self.trainings.tested(winner, self.rungs)
        return student, {one.name: self.trainings.tested(one, self.rungs) for one in trained}

    def _note_better(self, winner: Finalist, others: list[Finalist]) -> None:
        """Say which network that had gone out did better when it was trained on."""
        last = len(self.rungs.epochs) - 1
        best = self.record.accuracy(winner, last)
        for one in others:
            accuracy = self.record.accuracy(one, last)
            if best is not None and accuracy is not None and accuracy > best:
                self._note(
                    f"{one.name} ({', '.join(one.roles)}) went out, and trained on for the "
                    f"comparison it has a held-out accuracy of {accuracy:.2f} %, above the "
                    f"winner's {best:.2f} %"
                )

    def _note(self, text: str) -> None:
        """Say something once, and keep it."""
        if text not in self.record.notes:
            logger.warning(text)
            self.record.notes = (*self.record.notes, text)

    def _say(self, rung: int, count: int) -> None:
        if self.trainings.progress:
            note(
                f"rung {rung + 1} of {len(self.rungs.epochs)}: {count} finalists, to epoch "
                f"{self.rungs.epochs[rung]}"
            )
