"""The weights that a training keeps, and how good they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from tvtfast.models.checkpoint import load_weights
from tvtfast.models.fitting import FOLDER_ADVICE, fit
from tvtfast.models.model_folder import Described


@dataclass(frozen=True)
class Kept:
    """Which weights are kept.

    Attributes:
        epoch: After which epoch they were, counted from 1.
        held_out_accuracy: Top-1 accuracy in percent of the held-out images; ``None`` without.
        accuracy: That of the test images; ``None`` until the training has ended.
        continued: ``after`` which epoch a training of how many ``epochs`` went on to more.
    """

    epoch: int
    held_out_accuracy: float | None
    accuracy: float | None = None
    continued: tuple[Mapping[str, int], ...] = ()

    @property
    def course(self) -> Mapping[str, Any]:
        """What of the training's course a card's recipe says."""
        more = {"continued": [dict(one) for one in self.continued]} if self.continued else {}
        return {"epoch": self.epoch, **more}

    @property
    def accuracies(self) -> Mapping[str, Any]:
        """Both as fields of a card."""
        return {"held_out_accuracy": self.held_out_accuracy, "accuracy": self.accuracy}


@dataclass(frozen=True)
class Keeper:
    """Where kept weights lie.

    Args:
        weights: Their file.
        write: Writes weights, and a card that says what `Kept` does.
        read: Reads the card; fails where there is none.
    """

    weights: Path
    write: Callable[[nn.Module, Kept], None]
    read: Callable[[], Described[Any]]

    def is_tested(self) -> bool:
        """Whether the card says how good the weights are on the test images."""
        return self.weights.exists() and self.read().card.accuracy is not None

    def restore(self, model: nn.Module) -> None:
        """Put the kept weights into a model, in place.

        Raises:
            CheckpointError: They are damaged.
        """
        tensors = load_weights(self.weights, self.read().digest)
        fit(model, tensors, self.weights, advice=FOLDER_ADVICE)
