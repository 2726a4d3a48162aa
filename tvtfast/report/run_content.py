"""What the report of a whole run is made of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tvtfast.report.content import AttentionPanel

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class TrainedNetwork:
    """One network of a run.

    Attributes:
        name: What it is called in tables and figures.
        training: How it was trained, in a few words.
        params: Parameters.
        flops: Floating-point operations of one image, two per multiply-add.
        accuracy: Top-1 accuracy on the test images, in percent; NaN where it is not known.
        held_out_accuracy: The same on the images that its epoch was chosen by; NaN where none was.
        seconds: Of its training; NaN where it was not trained by the run.
        curve: Accuracy on the held-out images after every epoch, in percent; empty where it is not
            known.
    """

    name: str
    training: str
    params: int
    flops: int
    accuracy: float
    held_out_accuracy: float
    seconds: float
    curve: tuple[float, ...]

    @property
    def macs(self) -> int:
        """Multiply-adds of one image."""
        return self.flops // 2


@dataclass(frozen=True)
class StageSection:
    """What is shown of a stage before the student's training.

    Attributes:
        title: Heading of the section.
        text: What was done, in a few sentences.
        pictures: By what they show, figures, or PNG files that a stage left.
        report: Address of the stage's own report, relative to the page; ``None`` where it has none.
    """

    title: str
    text: str
    pictures: Mapping[str, bytes | Figure]
    report: str | None = None


@dataclass(frozen=True, eq=False)
class RunReport:
    """Everything the report of a run prints.

    Attributes:
        title: Heading of the report.
        system: Name of the system, and what it does.
        teacher: The teacher, where one takes part.
        student: What was found, trained as the run was asked to.
        others: What it is held against; may be empty.
        test_images: Images that accuracies are measured on, once per network.
        held_out_images: Images that epochs were chosen by; 0 where the last ones were kept.
        arch: The winner's architecture as JSON.
        stages: Seconds per stage, in the order they ran.
        sections: Stages before the student's training, in their order.
        attention: Maps of test images, where there is a teacher.
        settings: What was run.
        machine: Versions, processor, load.
        commands: What can be done next, by what it does.
        cost: Wall time, core or GPU hours and peak memory, in words.
    """

    title: str
    system: str
    teacher: TrainedNetwork | None
    student: TrainedNetwork
    others: tuple[TrainedNetwork, ...]
    test_images: int
    held_out_images: int
    arch: str
    stages: Mapping[str, float]
    sections: tuple[StageSection, ...]
    attention: AttentionPanel | None
    settings: Mapping[str, str]
    machine: Mapping[str, str]
    commands: Mapping[str, str]
    cost: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.test_images < 1:
            raise ValueError(f"test_images is {self.test_images}; give at least 1")

    @property
    def networks(self) -> tuple[TrainedNetwork, ...]:
        """All of them, the teacher first."""
        teacher = () if self.teacher is None else (self.teacher,)
        return (*teacher, self.student, *self.others)


def comparison(first: TrainedNetwork, second: TrainedNetwork, images: int) -> str:
    """How the accuracies of two networks on the same ``images`` differ, and whether that is more
    than chance.

    The standard error is ``100 sqrt((p (1 - p) + q (1 - q)) / images)`` with p and q the two
    accuracies as fractions: that of independent samples, which is no less than that of two networks
    that err on the same images.
    """
    difference = first.accuracy - second.accuracy
    spread = sum(n.accuracy / 100 * (1 - n.accuracy / 100) for n in (first, second))
    error = 100 * math.sqrt(spread / images)
    sign = "+" if difference >= 0 else "\N{MINUS SIGN}"
    verdict = "beyond" if abs(difference) > 2 * error else "within"
    return (
        f"{sign}{abs(difference):.1f} points against {second.name}: {verdict} two standard errors "
        f"({2 * error:.1f} points on {images:,} images)"
    )
