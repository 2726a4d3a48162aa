"""Classification, guidance and logit distillation as one loss."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from tvtfast.models import SpatialFeatures
from tvtfast.training.losses.guidance import FeatureGuidance
from tvtfast.training.losses.logits import HardDistillation, SoftDistillation, full_precision

SCHEDULES: Mapping[str, Callable[[float], float]] = {
    "constant": lambda progress: 1.0,
    "linear": lambda progress: 1.0 - progress,
    "cosine": lambda progress: (1.0 + math.cos(math.pi * progress)) / 2,
}
"""Factor of the guidance weight by the fraction of training that is done."""


def weight_factor(schedule: str, progress: float) -> float:
    """Factor of a weight at ``progress`` in 0..1.

    Raises:
        ValueError: An unknown schedule.
    """
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule is {schedule!r}; allowed: {', '.join(SCHEDULES)}")
    return SCHEDULES[schedule](progress)


class DistillationLoss(nn.Module):
    """``(1 - a) CE(logits, labels) + a KD(distillation_logits, teacher) + w f(progress) guidance``.

    Without logit distillation ``a`` is 0, without guidance its term is missing. The published code
    overwrites the logit term when both are on and calls it without its temperature; here both
    count.
    Source: Li et al., ECCV 2022 (guidance, w = 2.5); Touvron et al., ICML 2021 (logits, a = 0.5).

    Args:
        guidance: Feature guidance.
        guidance_weight: ``w``.
        guidance_schedule: ``f``, a name of `SCHEDULES`.
        logits: Logit distillation.
        logits_weight: ``a``, in 0..1.
        label_smoothing: Of the cross entropy.
    """

    def __init__(
        self,
        *,
        guidance: FeatureGuidance | None = None,
        guidance_weight: float = 2.5,
        guidance_schedule: str = "constant",
        logits: SoftDistillation | HardDistillation | None = None,
        logits_weight: float = 0.5,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        weight_factor(guidance_schedule, 0.0)
        if not 0 <= logits_weight <= 1:
            raise ValueError(f"logits_weight={logits_weight}: give a number in 0..1")
        self.guidance, self.logits = guidance, logits
        self.guidance_weight = guidance_weight
        self.guidance_schedule = guidance_schedule
        self.logits_weight = logits_weight if logits is not None else 0.0
        self.label_smoothing = label_smoothing

    def forward(
        self,
        outputs: Tensor | tuple[Tensor, Tensor],
        labels: Tensor,
        *,
        features: Sequence[SpatialFeatures] = (),
        teacher_features: Sequence[SpatialFeatures] = (),
        teacher_logits: Tensor | None = None,
        progress: float = 0.0,
    ) -> dict[str, Tensor]:
        """Weigh up one batch.

        Args:
            outputs: Logits ``[B, K]``, or the pair of classifier and distillation token. A student
                without distillation token distils through its classifier.
            labels: int64 ``[B]``.
            features: Of every block of the student, for guidance.
            teacher_features: Of every stage of the teacher, for guidance.
            teacher_logits: ``[B, K]``, for logit distillation.
            progress: Fraction of training that is done.

        Returns:
            Scalars: ``loss``, and unweighted ``classification``, ``guidance``, ``logits``, as far
            as they are part of it.
        """
        classifier, distillation = outputs if isinstance(outputs, tuple) else (outputs, outputs)
        classification = F.cross_entropy(
            full_precision(classifier), labels, label_smoothing=self.label_smoothing
        )
        terms = {"classification": classification}
        loss = (1 - self.logits_weight) * classification
        if self.logits is not None:
            if teacher_logits is None:
                raise ValueError("logit distillation needs teacher_logits")
            terms["logits"] = self.logits(distillation, teacher_logits)
            loss = loss + self.logits_weight * terms["logits"]
        if self.guidance is not None:
            terms["guidance"] = self.guidance(features, teacher_features)
            weight = self.guidance_weight * weight_factor(self.guidance_schedule, progress)
            loss = loss + weight * terms["guidance"]
        return {"loss": loss, **terms}
