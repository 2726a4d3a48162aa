"""A teacher on disk: ``teacher.json`` and ``model.safetensors``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tvtfast.common.foreign import reading
from tvtfast.common.normalization import Normalization
from tvtfast.common.torchvision import ensure_torchvision
from tvtfast.models.checkpoint import CheckpointError, load_weights
from tvtfast.models.cifar_resnet import CifarResNet
from tvtfast.models.fitting import FOLDER_ADVICE, check_fit, fit
from tvtfast.models.model_folder import Described, read_card, write_card, write_weights
from tvtfast.models.timm_interface import NAME

CARD = "teacher.json"
WEIGHTS = "model.safetensors"
_KIND = "teacher"
_ADVICE = "train one with 'tvtfast teacher', or give a checkpoint or the name of a model"


@dataclass(frozen=True)
class TeacherCard:
    """What ``teacher.json`` says.

    Args:
        name: What to call it in reports.
        architecture: ``depth``, ``num_classes`` and ``shortcut`` of a CIFAR ResNet, or ``timm`` and
            ``num_classes``.
        input_size: Side in pixels that images are resized to; ``None`` for as they come.
        normalization: What its input is normalised with; ``None`` for the student's.
        dataset: Name of the data set it was trained on.
        accuracy: Top-1 accuracy on that data set's test images, in percent; ``None`` while it is
            trained.
        held_out_accuracy: Top-1 accuracy on the images that its weights were chosen by, in percent;
            ``None`` where nothing was chosen, and in cards of earlier versions, whose weights were
            chosen by ``accuracy``.
    """

    name: str
    architecture: Mapping[str, Any]
    input_size: int | None
    normalization: Normalization | None
    dataset: str
    accuracy: float | None
    held_out_accuracy: float | None = None

    def __post_init__(self) -> None:
        side = self.input_size
        if side is not None and (not isinstance(side, int) or side < 1):
            raise ValueError(f"input_size is {side!r}; it is a side in pixels")
        if not isinstance(self.name, str):
            raise ValueError(f"name is {self.name!r}; it is a text")
        if not isinstance(self.architecture["num_classes"], int):
            raise ValueError("num_classes is no number")

    @property
    def num_classes(self) -> int:
        """Width of the classifier."""
        classes: int = self.architecture["num_classes"]
        return classes


def describe(module: nn.Module) -> dict[str, Any]:
    """The architecture of a network, as a card has it.

    Raises:
        ValueError: It is neither a CIFAR ResNet nor a timm model as timm builds it.
    """
    if isinstance(module, CifarResNet):
        return {
            "depth": module.depth,
            "num_classes": module.num_classes,
            "shortcut": module.shortcut,
        }
    config: Any = getattr(module, "pretrained_cfg", {})
    architecture = {
        "timm": config.get("architecture", ""),
        "num_classes": getattr(module, "num_classes", 0),
    }
    if not _is_as_built(module, architecture):
        raise ValueError(
            f"cannot describe a {type(module).__name__} in a teacher folder; save its "
            "state_dict yourself and load it with load_teacher(timm_name, checkpoint=path) or "
            "load_teacher(module, checkpoint=path)"
        )
    return architecture


def write(folder: Path, module: nn.Module, card: TeacherCard) -> None:
    """Write weights and card; each file replaces the one before it at once."""
    folder.mkdir(parents=True, exist_ok=True)
    digest = write_weights(folder / WEIGHTS, module)
    write_card(folder / CARD, card, _KIND, digest)


def read_teacher_card(folder: Path) -> Described[TeacherCard]:
    """The card of a teacher folder, and the digest of its weights.

    Raises:
        FileNotFoundError: It is no teacher folder.
        CheckpointError: The card is damaged.
    """
    return read_card(folder / CARD, TeacherCard, _KIND, _ADVICE)


def read(folder: Path) -> tuple[nn.Module, TeacherCard]:
    """The network with its weights, and the card.

    Raises:
        FileNotFoundError: There is no card.
        CheckpointError: Card or weights are damaged, or do not go together.
    """
    found = read_teacher_card(folder)
    card, path = found.card, folder / WEIGHTS
    weights = load_weights(path, found.digest)
    with reading(
        folder / CARD, "the card of a teacher", advice=FOLDER_ADVICE, error=CheckpointError
    ):
        with torch.device("meta"):
            shapes = _build(card.architecture)
        check_fit(shapes, weights, path, name=f"what {CARD} describes", advice=FOLDER_ADVICE)
        module = _build(card.architecture)
    fit(module, weights, path, name=card.name, advice=FOLDER_ADVICE)
    return module, card


def _build(architecture: Mapping[str, Any]) -> nn.Module:
    """The network, untrained; the random state of the process stays as it is."""
    with torch.random.fork_rng(devices=[]):
        if "timm" not in architecture:
            return CifarResNet(**architecture)
        ensure_torchvision()
        import timm

        name = architecture["timm"]
        if not timm.is_model(name):
            raise ValueError(f"timm {timm.__version__} has no model {name!r}")
        module: nn.Module = timm.create_model(name, num_classes=architecture["num_classes"])
        return module


def _is_as_built(module: nn.Module, architecture: Mapping[str, Any]) -> bool:
    if architecture["timm"] in ("", NAME):
        return False
    with torch.device("meta"):
        built = _build(architecture)
    shapes = {name: tensor.shape for name, tensor in built.state_dict().items()}
    return shapes == {name: tensor.shape for name, tensor in module.state_dict().items()}
