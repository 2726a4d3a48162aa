"""A trained superformer on disk."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tvtfast.common.foreign import reading
from tvtfast.common.hashing import fingerprint
from tvtfast.common.normalization import Normalization
from tvtfast.models.checkpoint import CheckpointError, load_weights
from tvtfast.models.fitting import FOLDER_ADVICE, fit
from tvtfast.models.model_folder import Described, read_card, write_card, write_weights
from tvtfast.spaces import space_of_folder
from tvtfast.supernet.coverage import Coverage
from tvtfast.supernet.superformer import Superformer

CARD = "superformer.json"
WEIGHTS = "superformer.safetensors"
_KIND = "superformer"


@dataclass(frozen=True)
class SuperformerCard:
    """What ``superformer.json`` says.

    Args:
        space: Name of the space.
        model_options: `tvtfast.spaces.ModelOptions` as a dictionary.
        sharing: Which channels narrower candidates take.
        qkv_mode: What is private to a number of heads.
        identity_probability: Of the subnets it was trained with, where their mean cost was to meet
            a window; else ``None``.
        reference: The subnet that the log's accuracy is of, as its space describes it.
        normalization: What its input is normalised with.
        classes: Class names by label, where known.
        dataset: Name of the data set it was trained on.
        accuracy: Top-1 accuracy of the reference subnet after the last epoch on the test images, in
            percent; ``None`` while it is trained.
        recipe: How it was trained.
        evaluation: Arguments ``name`` and ``path`` of `tvtfast.data.load_splits` for its images;
            ``None`` where they were given as data sets.
        steps_per_choice: By name of a decision and value the steps whose subnet had it, see
            `tvtfast.spaces.Space.decisions`; ``None`` in folders of before they were counted.
        search_split: Argument of `tvtfast.data.load_splits` for the images that were held out; 0
            where none was, and ``None`` in cards of earlier versions, which held none out.
        held_out_accuracy: As ``accuracy``, on the held-out images; ``None`` without any.
        fused_qk: Whether q and k are cut as one weight.
    """

    space: str
    model_options: Mapping[str, Any]
    sharing: str
    qkv_mode: int
    identity_probability: float | None
    reference: Mapping[str, Any]
    normalization: Normalization
    classes: tuple[str, ...] | None
    dataset: str
    accuracy: float | None
    recipe: Mapping[str, Any]
    evaluation: Mapping[str, Any] | None = None
    steps_per_choice: Mapping[str, Mapping[str, int]] | None = None
    search_split: float | None = None
    held_out_accuracy: float | None = None
    fused_qk: bool = False


@dataclass(frozen=True)
class TrainedSuperformer:
    """A superformer in evaluation mode, and its card."""

    model: Superformer
    card: SuperformerCard

    @property
    def coverage(self) -> Coverage | None:
        """How often its parts were trained; ``None`` where that was not counted."""
        steps = self.card.steps_per_choice
        return None if steps is None else Coverage(self.model.space, steps)

    @property
    def fingerprint(self) -> str:
        """Hash of its weights and of how they are shared."""
        weights = fingerprint(*self.model.state_dict().values())
        mode = f"{self.card.qkv_mode}{'-fused' if self.card.fused_qk else ''}"
        return f"{self.card.space}:{self.card.sharing}:{mode}:{weights}"


def save_superformer(
    folder: str | os.PathLike[str], model: torch.nn.Module, card: SuperformerCard
) -> None:
    """Write ``superformer.safetensors`` and ``superformer.json``; each replaces the one before it
    at once."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    digest = write_weights(folder / WEIGHTS, model)
    write_card(folder / CARD, card, _KIND, digest)


def read_superformer_card(folder: str | os.PathLike[str]) -> Described[SuperformerCard]:
    """The card of a superformer folder, and the digest of its weights.

    Raises:
        FileNotFoundError: It is no superformer folder.
        CheckpointError: The card is damaged.
    """
    advice = "train one with 'tvtfast supernet'"
    return read_card(Path(folder) / CARD, SuperformerCard, _KIND, advice)


def load_superformer(
    folder: str | os.PathLike[str], *, device: torch.device | str | None = None
) -> TrainedSuperformer:
    """Read what `train_superformer` wrote.

    Args:
        folder: The folder.
        device: Where it runs; default CPU.

    Raises:
        FileNotFoundError: There is no such folder, or it is none of a superformer.
        CheckpointError: A file of it is damaged, or the weights do not fit.
        ValueError: It is of a space that is not registered.
    """
    folder = Path(folder)
    found = read_superformer_card(folder)
    card = found.card
    weights = load_weights(folder / WEIGHTS, found.digest)
    space_of_folder(folder, card.space)
    with reading(
        folder / CARD, "the card of a superformer", advice=FOLDER_ADVICE, error=CheckpointError
    ):
        model = Superformer(
            card.space,
            sharing=card.sharing,
            qkv_mode=card.qkv_mode,
            fused_qk=card.fused_qk,
            **card.model_options,
        )
        model.reference = model.space.decode(card.reference)
    fit(model, weights, folder / WEIGHTS, advice=FOLDER_ADVICE)
    return TrainedSuperformer(model.to(device or "cpu").eval(), card)
