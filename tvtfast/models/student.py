"""A trained student on disk: all it takes to build it again, and its weights."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tvtfast.common.files import write_json
from tvtfast.common.foreign import reading
from tvtfast.common.normalization import Normalization
from tvtfast.models.builder import blank, build
from tvtfast.models.checkpoint import CheckpointError, load_weights
from tvtfast.models.fitting import FOLDER_ADVICE, check_fit, fit
from tvtfast.models.model_folder import Described, read_card, write_card, write_weights
from tvtfast.models.timm_config import timm_config, timm_network_config
from tvtfast.models.timm_network import TimmNetwork
from tvtfast.spaces import space_of_folder

CARD = "student.json"
WEIGHTS = "model.safetensors"
TIMM_CONFIG = "config.json"
_KIND = "student"


@dataclass(frozen=True)
class StudentCard:
    """What ``student.json`` says.

    Args:
        space: Name of the space, or ``None`` for a module of the user's own.
        arch: The architecture as its space describes it; ``None`` for a module.
        model_options: `tvtfast.spaces.ModelOptions` as a dictionary; of a module, its
            ``num_classes`` and ``img_size``.
        normalization: What its input is normalised with.
        classes: Class names by label, where known.
        dataset: Name of the data set it was trained on.
        accuracy: Top-1 accuracy on that data set's test images, in percent; ``None`` where it was
            not measured.
        recipe: How it was trained.
        held_out_accuracy: Top-1 accuracy on the images that its weights were chosen by, in percent;
            ``None`` where nothing was chosen, and in cards of earlier versions, whose weights were
            chosen by ``accuracy``.
        timm: Of a model of timm its ``name``, and the ``arguments`` that it was built with.
    """

    space: str | None
    arch: Mapping[str, Any] | None
    model_options: Mapping[str, Any]
    normalization: Normalization
    classes: tuple[str, ...] | None
    dataset: str
    accuracy: float | None
    recipe: Mapping[str, Any]
    held_out_accuracy: float | None = None
    timm: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        height, width = self.model_options["img_size"]
        if not isinstance(height, int) or not isinstance(width, int):
            raise ValueError(f"img_size is {[height, width]}; it is a height and a width in pixels")

    @property
    def network(self) -> TimmNetwork | None:
        """How timm builds the student, where it is one of its models."""
        if self.timm is None:
            return None
        classes = self.model_options["num_classes"]
        return TimmNetwork(self.timm["name"], classes, self.timm["arguments"])

    @property
    def brings_its_network(self) -> bool:
        """Whether the network can be built from the card alone."""
        return self.space is not None or self.timm is not None

    @property
    def img_size(self) -> tuple[int, int]:
        """Height and width of its input, in pixels."""
        height, width = self.model_options["img_size"]
        return height, width


@dataclass(frozen=True)
class Student:
    """A trained student: the network in evaluation mode, and its card."""

    module: nn.Module
    card: StudentCard


def save_student(folder: str | os.PathLike[str], module: nn.Module, card: StudentCard) -> None:
    """Write a student folder: ``model.safetensors``, ``student.json``, and for candidates of a
    space and models of timm a ``config.json`` of timm. Each file replaces the one before it at
    once."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    digest = write_weights(folder / WEIGHTS, module)
    write_card(folder / CARD, card, _KIND, digest)
    if card.space is not None:
        write_json(
            folder / TIMM_CONFIG,
            timm_config(
                card.space, card.arch, card.model_options, card.normalization, card.classes
            ),
        )
    elif card.timm is not None:
        write_json(
            folder / TIMM_CONFIG,
            timm_network_config(
                **card.timm,
                model_options=card.model_options,
                normalization=card.normalization,
                classes=card.classes,
            ),
        )


def load_student(
    folder: str | os.PathLike[str],
    *,
    module: nn.Module | None = None,
    device: torch.device | str | None = None,
) -> Student:
    """Read a student folder.

    Args:
        folder: What `tvtfast.distill.distill` wrote.
        module: The network, for a student that is neither a candidate of a space nor a model of
            timm.
        device: Where it runs; default CPU.

    Raises:
        FileNotFoundError: There is no such folder, or it is none of a student.
        CheckpointError: A file of it is damaged, or the weights do not fit.
        ValueError: The student needs ``module``, or is of a space that is not registered.
    """
    folder = Path(folder)
    found = read_student_card(folder)
    card = found.card
    if module is None and not card.brings_its_network:
        raise ValueError(
            f"{folder} holds a module that was not made by tvtfast; pass module= with the "
            "network to load the weights into"
        )
    weights = load_weights(folder / WEIGHTS, found.digest)
    if module is None:
        module = _build(card, weights, folder)
    fit(module, weights, folder / WEIGHTS, advice=FOLDER_ADVICE)
    return Student(module.to(device or "cpu").eval(), card)


def read_student_card(folder: Path) -> Described[StudentCard]:
    """The card of a student folder, and the digest of its weights.

    Raises:
        FileNotFoundError: It is no student folder.
        CheckpointError: The card is damaged.
    """
    return read_card(folder / CARD, StudentCard, _KIND, "train a student with 'tvtfast distill'")


def _build(card: StudentCard, weights: Mapping[str, Tensor], folder: Path) -> nn.Module:
    """The network; one that the weights do not fit takes no memory."""
    if card.network is None and card.space is not None:
        space_of_folder(folder, card.space)
    with reading(
        folder / CARD, "the card of a student", advice=FOLDER_ADVICE, error=CheckpointError
    ):
        if card.network is not None:
            return card.network.build()
        described: Any = {"space": card.space, **card.model_options}
        shapes = blank(card.arch or {}, **described)
        check_fit(
            shapes, weights, folder / WEIGHTS, name=f"what {CARD} describes", advice=FOLDER_ADVICE
        )
        module = build(card.arch or {}, **described)
        module.describe_input(card.normalization, card.classes)
        return module
