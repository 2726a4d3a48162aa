"""A trained superformer on disk."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from tvtfast.files import write_durably
from tvtfast.hashing import fingerprint
from tvtfast.models import CheckpointError
from tvtfast.models.checkpoint import fit, load_weights
from tvtfast.normalization import Normalization
from tvtfast.supernet.superformer import Superformer

CARD = "superformer.json"
WEIGHTS = "superformer.safetensors"
_FORMAT, _VERSION = "tvtfast superformer", 1


@dataclass(frozen=True)
class SuperformerCard:
    """What ``superformer.json`` says.

    Args:
        space: Name of the space.
        model_options: `tvtfast.spaces.ModelOptions` as a dictionary.
        sharing: Which channels narrower candidates take.
        qkv_mode: What is private to a number of heads.
        identity_probability: Of the subnets it was trained with; ``None`` for uniform depths.
        reference: The subnet that the log's accuracy is of, as its space describes it.
        normalization: What its input is normalised with.
        classes: Class names by label, where known.
        dataset: Name of the data set it was trained on.
        accuracy: Top-1 accuracy of the reference subnet after the last epoch, in percent.
        recipe: How it was trained.
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
    accuracy: float
    recipe: Mapping[str, Any]


@dataclass(frozen=True)
class TrainedSuperformer:
    """A superformer in evaluation mode, and its card."""

    model: Superformer
    card: SuperformerCard

    @property
    def fingerprint(self) -> str:
        """Hash of its weights and of how they are shared."""
        weights = fingerprint(*self.model.state_dict().values())
        return f"{self.card.space}:{self.card.sharing}:{self.card.qkv_mode}:{weights}"


def save_superformer(
    folder: str | os.PathLike[str], model: torch.nn.Module, card: SuperformerCard
) -> None:
    """Write ``superformer.safetensors`` and ``superformer.json``; each replaces the one before it
    at once."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    write_durably(folder / WEIGHTS, lambda path: path.write_bytes(safetensors.torch.save(weights)))
    text = json.dumps({"format": _FORMAT, "version": _VERSION, **asdict(card)}, indent=2) + "\n"
    write_durably(folder / CARD, lambda path: path.write_text(text, encoding="utf-8"))


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
    card = _read_card(folder / CARD)
    model = Superformer(
        card.space, sharing=card.sharing, qkv_mode=card.qkv_mode, **card.model_options
    )
    model.reference = model.space.decode(card.reference)
    fit(model, load_weights(folder / WEIGHTS), folder / WEIGHTS)
    return TrainedSuperformer(model.to(device or "cpu").eval(), card)


def _read_card(path: Path) -> SuperformerCard:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("format") != _FORMAT or content.pop("version") != _VERSION:
            raise ValueError(f"not format {_FORMAT!r} version {_VERSION}")
        means = content["normalization"]
        content["normalization"] = Normalization(tuple(means["mean"]), tuple(means["std"]))
        content["classes"] = content["classes"] and tuple(content["classes"])
        return SuperformerCard(**content)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path.parent} is not a superformer folder: it has no {path.name}; train one with "
            "'tvtfast supernet'"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} does not describe a superformer ({type(error).__name__}: {error})"
        ) from error
