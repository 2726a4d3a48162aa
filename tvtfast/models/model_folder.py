"""What folders of trained networks have in common: weights, and a card that describes them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import safetensors.torch
from torch import nn

from tvtfast.common.files import write_durably, write_json
from tvtfast.common.normalization import Normalization
from tvtfast.models.checkpoint import CheckpointError

Card = TypeVar("Card")

_VERSION = 1


def write_weights(path: Path, module: nn.Module) -> None:
    """All parameters and buffers as safetensors; the file replaces the one before it at once."""
    weights = {name: tensor.contiguous() for name, tensor in module.state_dict().items()}
    write_durably(path, lambda target: target.write_bytes(safetensors.torch.save(weights)))


def write_card(path: Path, card: Any, kind: str) -> None:
    """Write a dataclass that `read_card` reads."""
    write_json(path, {"format": f"tvtfast {kind}", "version": _VERSION, **asdict(card)})


def read_card(path: Path, card: type[Card], kind: str, advice: str) -> Card:
    """Read a dataclass with fields ``normalization`` and ``classes``.

    Args:
        path: The file.
        card: The dataclass.
        kind: What the folder is one of, such as ``student``.
        advice: How to come by one.

    Raises:
        FileNotFoundError: There is no such file.
        CheckpointError: It is damaged, or the card of something else.
    """
    wanted = {"format": f"tvtfast {kind}", "version": _VERSION}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if {name: content.pop(name) for name in wanted} != wanted:
            raise ValueError(f"not format {wanted['format']!r} version {_VERSION}")
        means = content["normalization"]
        content["normalization"] = Normalization(tuple(means["mean"]), tuple(means["std"]))
        content["classes"] = content["classes"] and tuple(content["classes"])
        return card(**content)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path.parent} is not a {kind} folder: it has no {path.name}; {advice}"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path} does not describe a {kind} ({type(error).__name__}: {error})"
        ) from error
