"""What a frozen teacher says about a batch, and how a student is to use it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tvtfast.common import checks
from tvtfast.common.normalization import Normalization
from tvtfast.models import SpatialFeatures, Teacher, features_and_outputs, temporary_mode
from tvtfast.training.loading import TrainingBatch
from tvtfast.training.losses import (
    SCHEDULES,
    AttentionGuidance,
    DistillationLoss,
    FeatureGuidance,
    HardDistillation,
    LinearGuidance,
    SimilarityGuidance,
    SoftDistillation,
    default_pairs,
)

GUIDANCE = ("linear", "attention", "similarity")
LOGITS = ("soft", "hard")


@dataclass(frozen=True)
class Distillation:
    """How a teacher takes part in training. The defaults are the published recipe.

    Args:
        guidance: A name of `GUIDANCE`, or ``None`` for none.
        guidance_weight: Its weight.
        guidance_schedule: How the weight changes, see `tvtfast.training.losses.SCHEDULES`.
        pairs: Student blocks and teacher stages; ``None`` for
            `tvtfast.training.losses.default_pairs`.
        logits: A name of `LOGITS`, or ``None`` for none. Candidates of a space get a distillation
            token for it.
        logits_weight: Share of the logits in the classification loss.
        temperature: Of ``soft``.
        paper: Let the teacher's batch statistics drift while the student is trained, as the
            published code does by accident.

    Raises:
        ValueError: An unknown name.
    """

    guidance: str | None = "linear"
    guidance_weight: float = 2.5
    guidance_schedule: str = "constant"
    pairs: tuple[tuple[int, int], ...] | None = None
    logits: str | None = None
    logits_weight: float = 0.5
    temperature: float = 1.0
    offline: bool = False
    paper: bool = False

    def __post_init__(self) -> None:
        for name, allowed in (
            ("guidance", (None, *GUIDANCE)),
            ("guidance_schedule", tuple(SCHEDULES)),
            ("logits", (None, *LOGITS)),
        ):
            checks.choice(name, getattr(self, name), allowed)
        checks.real("guidance_weight", self.guidance_weight, least=0)
        checks.real("logits_weight", self.logits_weight, least=0, most=1)
        checks.real("temperature", self.temperature, above=0)
        if self.offline and (self.logits is not None or self.paper or self.guidance is None):
            raise ValueError(
                "offline=True keeps features of the teacher, neither logits nor drifting "
                "statistics; it goes with guidance, logits=None and paper=False"
            )

    @property
    def needs_teacher(self) -> bool:
        return self.guidance is not None or self.logits is not None

    def loss(
        self,
        student: Sequence[SpatialFeatures],
        teacher: Sequence[SpatialFeatures],
        *,
        label_smoothing: float = 0.0,
    ) -> DistillationLoss:
        """The loss for features of these shapes."""
        logits: SoftDistillation | HardDistillation | None = None
        if self.logits is not None:
            soft = self.logits == "soft"
            logits = SoftDistillation(self.temperature) if soft else HardDistillation()
        return DistillationLoss(
            guidance=self._guidance(student, teacher),
            guidance_weight=self.guidance_weight,
            guidance_schedule=self.guidance_schedule,
            logits=logits,
            logits_weight=self.logits_weight,
            label_smoothing=label_smoothing,
        )

    def _guidance(
        self, student: Sequence[SpatialFeatures], teacher: Sequence[SpatialFeatures]
    ) -> FeatureGuidance | None:
        if self.guidance is None:
            return None
        pairs = self.pairs or default_pairs(len(student), len(teacher))
        if self.guidance == "linear":
            return LinearGuidance(
                [_channels(f) for f in student], [_channels(f) for f in teacher], pairs
            )
        return (AttentionGuidance if self.guidance == "attention" else SimilarityGuidance)(pairs)


def check_classes(how: Distillation, teacher: Teacher, num_classes: int) -> None:
    """Refuse, before any work, logits of other classes than those of the data.

    Raises:
        ValueError: The teacher's classes are known and are others.
    """
    if how.logits is not None and teacher.num_classes not in (None, num_classes):
        raise ValueError(
            f"teacher {teacher.name} knows {teacher.num_classes} classes and the data set has "
            f"{num_classes}; distilling logits needs the same classes: give a teacher that was "
            "trained on this data set (--teacher PATH), or distil features alone (--logits none, "
            "logits=None)"
        )


class Guide:
    """A frozen teacher beside a student.

    Args:
        teacher: Left as it is.
        normalization: What the student's images are normalised with.
        paper: Compute in training mode, so that batch statistics are those of the batch and the
            running ones drift; on a copy of the teacher.
    """

    def __init__(
        self, teacher: Teacher, normalization: Normalization, *, paper: bool = False
    ) -> None:
        self.teacher = copy.deepcopy(teacher) if paper else teacher
        self.normalization = normalization
        self.paper = paper

    @property
    def module(self) -> nn.Module:
        return self.teacher.module

    def drifted(self) -> dict[str, Tensor] | None:
        """The teacher's own state where training changes it."""
        return self.module.state_dict() if self.paper else None

    def __call__(
        self, batch: TrainingBatch, *, logits: bool
    ) -> tuple[list[SpatialFeatures], Tensor | None]:
        """Features of every stage, and logits where asked for."""
        if not self.paper:
            return self.look(batch.images, logits=logits)
        prepared = self.teacher.prepare(batch.images, self.normalization)
        with temporary_mode(self.module, training=True), torch.no_grad():
            features, outputs = features_and_outputs(
                self.module, prepared, feature_fn=self.teacher.feature_fn
            )
        return features, outputs if logits else None

    def look(self, images: Tensor, *, logits: bool) -> tuple[list[SpatialFeatures], Tensor | None]:
        """The same in evaluation mode, for images ``[B, 3, H, W]`` of the student."""
        if not logits:
            return self.teacher.features(images, normalization=self.normalization), None
        return self.teacher.features_and_logits(images, normalization=self.normalization)


def _channels(features: SpatialFeatures) -> int:
    return features.x.shape[1 if features.grid is None else -1]
