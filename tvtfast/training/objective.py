"""A network and its loss as one module, which is what gradients are averaged over."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tvtfast.initialization import initialize_
from tvtfast.models import CandidateModel, FeatureFn, features_and_outputs, temporary_mode
from tvtfast.training.guide import Distillation, Guide
from tvtfast.training.loading import TrainingBatch
from tvtfast.training.losses import DistillationLoss


class Objective(nn.Module):
    """``(batch, progress) -> losses`` of a network, with or without a teacher.

    The parameters are those of ``model`` and of the guidance; the teacher is no part of them.

    Args:
        model: The network.
        criterion: Its loss.
        guide: The teacher, where the loss needs one.
        feature_fn: How to read features of ``model``, see `tvtfast.models.extract_features`.
    """

    partial = False
    """Whether a step may leave some parameters without a gradient."""

    def __init__(
        self,
        model: nn.Module,
        criterion: DistillationLoss,
        guide: Guide | None = None,
        feature_fn: FeatureFn | None = None,
    ) -> None:
        super().__init__()
        self.model, self.criterion = model, criterion
        self.guide, self.feature_fn = guide, feature_fn

    def prepare(self, step: int) -> None:
        """Called before every step with its number, counted over all epochs."""

    def forward(self, batch: TrainingBatch, progress: float) -> dict[str, Tensor]:
        images, labels = batch.images, batch.labels
        if self.guide is None:
            losses: dict[str, Tensor] = self.criterion(self.model(images), labels)
            return losses
        stages, teacher_logits = self.guide(batch, logits=self.criterion.logits is not None)
        features: list[Any] = []
        if self.criterion.guidance is None:
            outputs = self.model(images)
        else:
            features, outputs = features_and_outputs(self.model, images, feature_fn=self.feature_fn)
        guided: dict[str, Tensor] = self.criterion(
            outputs,
            labels,
            features=features,
            teacher_features=stages,
            teacher_logits=teacher_logits,
            progress=progress,
        )
        return guided


def guided(
    model: nn.Module,
    guide: Guide,
    how: Distillation,
    *,
    img_size: int,
    seed: int,
    label_smoothing: float = 0.0,
    feature_fn: FeatureFn | None = None,
) -> Objective:
    """The objective of a student beside its teacher.

    The shapes of their features are read from one blank image; what the guidance trains is drawn by
    index from ``seed``.

    Raises:
        ValueError: Pairs that do not exist, or (for logits) a teacher of other classes.
        UnsupportedModelError: A network without spatial features.
    """
    weight = next(model.parameters())
    blank = torch.zeros(1, 3, img_size, img_size, device=weight.device)
    stages, teacher_logits = guide.look(blank, logits=how.logits is not None)
    with temporary_mode(model, training=False), torch.no_grad():
        features: list[Any] = []
        if how.guidance is not None:
            features, _ = features_and_outputs(model, blank, feature_fn=feature_fn)
        logits = model(blank)
    if teacher_logits is not None and teacher_logits.shape != logits.shape:
        raise ValueError(
            f"the teacher knows {teacher_logits.shape[-1]} classes and the student "
            f"{logits.shape[-1]}; distilling logits needs the same classes: train a teacher on this"
            " data set, or distil features alone (logits=None)"
        )
    criterion = how.loss(features, stages, label_smoothing=label_smoothing)
    if how.logits is not None and _has_two_heads(model):
        distilled: Any = model
        distilled.set_distilled_training()
    initialize_(criterion, seed)
    return Objective(model, criterion.to(weight.device), guide, feature_fn)


def _has_two_heads(model: nn.Module) -> bool:
    if isinstance(model, CandidateModel):
        return model.options.distilled
    return hasattr(model, "set_distilled_training")
