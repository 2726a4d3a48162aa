"""Read weights from files that came from elsewhere. Files are data: nothing in them is executed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from tvtfast.common.foreign import BadFileError, reading

_WRAPPERS = ("state_dict", "model", "model_state", "model_state_dict")
_PREFIX = "module."


class CheckpointError(BadFileError):
    """A checkpoint that cannot be read, or that holds something other than weights."""


def load_weights(path: Path) -> dict[str, Tensor]:
    """Read a state dict on the CPU.

    Reads ``.safetensors``, and anything else with ``torch.load(weights_only=True)``. The usual
    wrappers (``state_dict``, ``model``) and the ``module.`` prefix of data-parallel training are
    removed.

    Raises:
        FileNotFoundError: No such file.
        CheckpointError: Truncated or corrupt, of another format, or not a state dict.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    content: object
    with reading(
        path,
        "a checkpoint of plain tensors",
        advice="it may be damaged, truncated or of another format. tvtfast never runs code from a "
        "file: save the model's state_dict as safetensors and load that",
        error=CheckpointError,
    ):
        if path.suffix == ".safetensors":
            content = safetensors.torch.load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    return _unwrap(content, path)


def fit(module: nn.Module, weights: Mapping[str, Tensor], path: str | os.PathLike[str]) -> None:
    """Load weights into a module.

    Raises:
        CheckpointError: They are those of another module.
    """
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(
            f"the weights in {os.fspath(path)} do not fit {type(module).__name__}: {error}"
        ) from error


def _unwrap(content: object, path: Path) -> dict[str, Tensor]:
    while isinstance(content, Mapping) and any(key in content for key in _WRAPPERS):
        content = next(content[key] for key in _WRAPPERS if key in content)
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not a state dict")
    wrong = [name for name, value in content.items() if not isinstance(value, Tensor)]
    if wrong:
        raise CheckpointError(
            f"{path} holds entries that are not tensors: {', '.join(map(str, wrong[:5]))}"
        )
    return {str(name).removeprefix(_PREFIX): value for name, value in content.items()}
