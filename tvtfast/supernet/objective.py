"""The loss of one step of a superformer."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from tvtfast.supernet.coverage import Tally
from tvtfast.supernet.sampling import Subnets
from tvtfast.supernet.superformer import Superformer
from tvtfast.training.guide import Distillation, Guide
from tvtfast.training.loading import TrainingBatch
from tvtfast.training.losses import DistillationLoss
from tvtfast.training.objective import Objective


class SuperformerObjective(Objective):
    """The loss of the subnet of a step.

    ``bilateral`` runs both sides of it and sums their logits. Only the parameters that the subnet
    uses get gradients.

    Args:
        model: The superformer.
        subnets: From the number of a step to its subnet.
        label_smoothing: Of the cross entropy.
        guide: A teacher.
        how: How it takes part.

    Attributes:
        tally: How often every value of every decision was trained.

    Raises:
        ValueError: Guidance that a superformer does not know.
    """

    partial = True

    def __init__(
        self,
        model: Superformer,
        subnets: Subnets,
        *,
        label_smoothing: float = 0.0,
        guide: Guide | None = None,
        how: Distillation | None = None,
    ) -> None:
        super().__init__(model, DistillationLoss(label_smoothing=label_smoothing), guide)
        self.subnets, self.how, self.label_smoothing = subnets, how, label_smoothing
        self.tally = Tally(subnets)
        if how is not None and guide is not None:
            _check(model, how)

    def prepare(self, step: int) -> None:
        model: Any = self.model
        model.subnet = self.subnets(step)
        self.tally.add(step, model.subnet)

    def forward(self, batch: TrainingBatch, progress: float) -> dict[str, Tensor]:
        images, labels = batch.images, batch.labels
        if self.guide is None or self.how is None:
            plain: dict[str, Tensor] = self.criterion(self.model(images), labels)
            return plain
        stages, teacher_logits = self.guide.look(images, logits=self.how.logits is not None)
        model: Any = self.model
        passes = [
            model.features_and_outputs(images, model.subnet, side) for side in range(model.sides)
        ]
        features = passes[0][0]
        logits = sum(outputs for _, outputs in passes)
        criterion = self.how.loss(features, stages, label_smoothing=self.label_smoothing)
        losses: dict[str, Tensor] = criterion(
            logits,
            labels,
            features=features,
            teacher_features=stages,
            teacher_logits=teacher_logits,
            progress=progress,
        )
        return losses


def _check(model: Superformer, how: Distillation) -> None:
    if how.guidance == "linear" or how.pairs is not None or how.offline or how.paper:
        raise ValueError(
            "subnets differ in width and depth, so guidance of a superformer is 'attention' or "
            "'similarity' over pairs spread evenly, with a frozen teacher; leave pairs, offline "
            "and paper out"
        )
    if how.guidance is not None and model.sides > 1:
        raise ValueError(
            f"sharing {model.sharing!r} runs a subnet twice and has no features of its own; give "
            "guidance=None with logits, or sharing='cyclic'"
        )
