"""What the report of a tournament is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tvtfast.report.run_content import TrainedNetwork


@dataclass(frozen=True)
class Entrant:
    """One finalist.

    Attributes:
        name: That of its folder, which ends in its number.
        roles: Why it took part.
        params: Parameters.
        flops: Floating-point operations of one image, two per multiply-add.
        accuracies: Held-out accuracy at the end of every rung that it was trained to, in percent.
        rungs: In how many of them it was in the running.
        seconds: Of its training.
        failed: Why its training went no further; ``None`` where nothing was wrong.
        won: Whether it is the winner.
    """

    name: str
    roles: tuple[str, ...]
    params: int
    flops: int
    accuracies: tuple[float, ...]
    rungs: int
    seconds: float
    failed: str | None
    won: bool

    @property
    def end(self) -> str:
        """What became of it, in words."""
        if self.failed is not None:
            return f"failed: {self.failed}"
        return "won" if self.won else f"went out in rung {self.rungs}"


@dataclass(frozen=True, eq=False)
class TournamentReport:
    """Everything the report of a tournament prints.

    Attributes:
        title: Heading of the report.
        entrants: All that took part, in the order they entered.
        epochs: At the end of every rung.
        networks: The winner, and what it is held against, trained to the end.
        test_images: Images that accuracies are measured on, once per network.
        told: What the first rung told, in a sentence.
        notes: What is to be known about it.
        total_epochs: Of all trainings.
        settings: What was run.
        machine: Versions, processor, load.
        cost: Wall time, core or GPU hours and peak memory, in words.
    """

    title: str
    entrants: tuple[Entrant, ...]
    epochs: tuple[int, ...]
    networks: tuple[TrainedNetwork, ...]
    test_images: int
    told: str
    notes: tuple[str, ...]
    total_epochs: int
    settings: Mapping[str, str]
    machine: Mapping[str, str]
    cost: Mapping[str, str] = field(default_factory=dict)
