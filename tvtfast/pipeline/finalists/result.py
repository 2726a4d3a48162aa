"""What a tournament ended with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tvtfast.common.cost import Cost
from tvtfast.distill import TrainedStudent
from tvtfast.pipeline.finalists.choosing import DEFAULT, Finalist
from tvtfast.pipeline.finalists.record import Course
from tvtfast.pipeline.finalists.rungs import Rungs
from tvtfast.scoring import Calibration

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class TournamentResult:
    """The winner of a tournament, and what it is held against.

    Args:
        folder: Where everything lies.
        winner: The finalist that is left, by held-out accuracy.
        student: It, trained to the end.
        finalists: All that took part, in the order they entered.
        courses: By name how far each was trained.
        played: By name in how many rungs each was in the running.
        compared: By name the picks that were trained to the end under the same learning rates, the
            default first; empty where nothing is compared.
        rungs: Epochs and sizes.
        calibration: What the first rung told; ``None`` where nothing could be fitted, and
            ``notes`` say why.
        notes: What is to be known about it.
        cost: Of all starts of the tournament.
        report: The page.
    """

    folder: Path
    winner: Finalist
    student: TrainedStudent
    finalists: tuple[Finalist, ...]
    courses: Mapping[str, Course]
    played: Mapping[str, int]
    compared: Mapping[str, TrainedStudent]
    rungs: Rungs
    calibration: Calibration | None
    notes: tuple[str, ...]
    cost: Cost
    report: Path

    def finalist(self, name: str) -> Finalist:
        """The one of a name."""
        return next(one for one in self.finalists if one.name == name)

    def by_role(self, role: str) -> TrainedStudent | None:
        """The trained pick of a role, such as ``default`` or ``weight_norm``; the winner's own
        training where that was the pick. ``None`` where there is none, or it was not trained."""
        for one in self.finalists:
            if role in one.roles:
                return self.student if one.name == self.winner.name else self.compared.get(one.name)
        return None

    @property
    def default(self) -> TrainedStudent | None:
        """The DeiT-like ViT, trained to the end."""
        return self.by_role(DEFAULT)

    @property
    def comparison(self) -> pd.DataFrame:
        """One row per network that was trained to the end, the winner first: ``finalist``,
        ``roles``, ``params``, ``flops``, ``held_out_accuracy`` and ``accuracy`` (of the test
        images) in percent, and ``difference``, the winner's accuracy less its own."""
        import pandas as pd

        trained = {self.winner.name: self.student, **self.compared}
        return pd.DataFrame(
            [
                {
                    "finalist": name,
                    "roles": ", ".join(self.finalist(name).roles),
                    "params": self.finalist(name).params,
                    "flops": self.finalist(name).flops,
                    "held_out_accuracy": one.held_out_accuracy,
                    "accuracy": one.accuracy,
                    "difference": self.student.accuracy - one.accuracy,
                }
                for name, one in trained.items()
            ]
        )
