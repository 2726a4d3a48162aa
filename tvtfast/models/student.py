"""A trained student on disk: all it takes to build it again, and its weights."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

from tvtfast.files import write_durably
from tvtfast.models.builder import build
from tvtfast.models.checkpoint import CheckpointError, fit, load_weights
from tvtfast.models.timm_student import timm_config
from tvtfast.normalization import Normalization

CARD = "student.json"
WEIGHTS = "model.safetensors"
TIMM_CONFIG = "config.json"
_FORMAT, _VERSION = "tvtfast student", 1


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
        accuracy: Top-1 accuracy on that data set's evaluation split, in percent; ``None`` where it
            was not measured.
        recipe: How it was trained.
    """

    space: str | None
    arch: Mapping[str, Any] | None
    model_options: Mapping[str, Any]
    normalization: Normalization
    classes: tuple[str, ...] | None
    dataset: str
    accuracy: float | None
    recipe: Mapping[str, Any]

    @property
    def img_size(self) -> tuple[int, int]:
        """Height and width of its input, in pixels."""
        height, width = self.model_options["img_size"]
        return int(height), int(width)


@dataclass(frozen=True)
class Student:
    """A trained student: the network in evaluation mode, and its card."""

    module: nn.Module
    card: StudentCard


def save_student(folder: str | os.PathLike[str], module: nn.Module, card: StudentCard) -> None:
    """Write a student folder: ``model.safetensors``, ``student.json``, and for candidates of a
    space timm's ``config.json``. Each file replaces the one before it at once."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.contiguous() for name, tensor in module.state_dict().items()}
    write_durably(folder / WEIGHTS, lambda path: path.write_bytes(safetensors.torch.save(weights)))
    described = {"format": _FORMAT, "version": _VERSION, **asdict(card)}
    _write_json(folder / CARD, described)
    if card.space is not None:
        _write_json(
            folder / TIMM_CONFIG,
            timm_config(
                card.space, card.arch, card.model_options, card.normalization, card.classes
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
        module: The network, for a student that is no candidate of a space.
        device: Where it runs; default CPU.

    Raises:
        FileNotFoundError: There is no such folder, or it is none of a student.
        CheckpointError: A file of it is damaged, or the weights do not fit.
        ValueError: The student needs ``module``.
    """
    folder = Path(folder)
    card = _read_card(folder / CARD)
    if module is None:
        if card.space is None:
            raise ValueError(
                f"{folder} holds a module that was not made by tvtfast; pass module= with the "
                "network to load the weights into"
            )
        module = build(card.arch or {}, space=card.space, **card.model_options)
    fit(module, load_weights(folder / WEIGHTS), folder / WEIGHTS)
    return Student(module.to(device or "cpu").eval(), card)


def _read_card(path: Path) -> StudentCard:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("format") != _FORMAT or content.pop("version") != _VERSION:
            raise ValueError(f"not format {_FORMAT!r} version {_VERSION}")
        means = content["normalization"]
        content["normalization"] = Normalization(tuple(means["mean"]), tuple(means["std"]))
        content["classes"] = content["classes"] and tuple(content["classes"])
        return StudentCard(**content)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path.parent} is not a student folder: it has no {path.name}; train a student with "
            "'tvtfast distill'"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} does not describe a student ({type(error).__name__}: {error})"
        ) from error


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    text = json.dumps(content, indent=2) + "\n"
    write_durably(path, lambda target: target.write_text(text, encoding="utf-8"))
