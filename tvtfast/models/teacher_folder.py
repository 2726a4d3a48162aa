"""A teacher on disk: ``teacher.json`` and ``model.safetensors``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tvtfast.common.files import write_json
from tvtfast.common.torchvision import ensure_torchvision
from tvtfast.models.checkpoint import CheckpointError, fit, load_weights
from tvtfast.models.cifar_resnet import CifarResNet
from tvtfast.models.model_folder import write_weights

_CARD = "teacher.json"
WEIGHTS = "model.safetensors"
_FORMAT, _VERSION = "tvtfast-teacher", 1


def describe(module: nn.Module) -> dict[str, Any]:
    """What a card says of a network.

    Raises:
        ValueError: It is neither a CIFAR ResNet nor a timm model as timm builds it.
    """
    if isinstance(module, CifarResNet):
        architecture = {
            "depth": module.depth,
            "num_classes": module.num_classes,
            "shortcut": module.shortcut,
        }
    else:
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
    return {"format": _FORMAT, "version": _VERSION, "architecture": architecture}


def write(folder: Path, module: nn.Module, card: Mapping[str, Any]) -> None:
    """Write weights and card; each file replaces the one before it at once."""
    folder.mkdir(parents=True, exist_ok=True)
    write_weights(folder / WEIGHTS, module)
    write_json(folder / _CARD, card)


def read(folder: Path) -> tuple[nn.Module, dict[str, Any]]:
    """The network with its weights, and the card.

    Raises:
        FileNotFoundError: There is no card.
        CheckpointError: Card or weights are damaged, or do not go together.
    """
    path = folder / _CARD
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        if card["format"] != _FORMAT or card["version"] != _VERSION:
            raise ValueError(f"format {card['format']!r} version {card['version']!r}")
        missing = {"name", "input_size", "normalization"} - card.keys()
        if missing:
            raise ValueError(f"no {', '.join(sorted(missing))}")
        module = _build(card["architecture"])
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{folder} is not a teacher folder: it has no {_CARD}; train one, or give a checkpoint "
            "file or the name of a timm model"
        ) from None
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise CheckpointError(
            f"{path} does not describe a teacher ({type(error).__name__}: {error})"
        ) from error
    fit(module, load_weights(folder / WEIGHTS), folder / WEIGHTS)
    return module, card


def _build(architecture: Mapping[str, Any]) -> nn.Module:
    if "timm" not in architecture:
        return CifarResNet(**architecture)
    ensure_torchvision()
    import timm

    module: nn.Module = timm.create_model(
        architecture["timm"], num_classes=architecture["num_classes"]
    )
    return module


def _is_as_built(module: nn.Module, architecture: Mapping[str, Any]) -> bool:
    if not architecture["timm"]:
        return False
    with torch.device("meta"):
        built = _build(architecture)
    shapes = {name: tensor.shape for name, tensor in built.state_dict().items()}
    return shapes == {name: tensor.shape for name, tensor in module.state_dict().items()}
