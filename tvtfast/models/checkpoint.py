"""Read weights from files that came from elsewhere. Files are data: nothing in them is executed."""

from __future__ import annotations

import argparse
import hashlib
import logging
import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from tvtfast.common.foreign import BadFileError, reading

_AVERAGED = ("state_dict_ema", "model_ema", "ema")
_PLAIN = ("state_dict", "model", "model_state", "model_state_dict", "net", "module")
_BOOKKEEPING = {"n_averaged"}
"""Tensors that stand among weights and are none."""
_DEEPEST = 8
_SPARE = 2**20
_BLOCK = 2**20
_PLAIN_OBJECTS = (argparse.Namespace,)
"""Classes without code of their own that training scripts keep beside weights."""

_log = logging.getLogger(__name__)


class CheckpointError(BadFileError):
    """A checkpoint that cannot be read, or that holds something other than weights."""


def load_weights(path: Path, digest: str | None = None) -> dict[str, Tensor]:
    """Read a state dict on the CPU.

    Reads ``.safetensors``, and anything else with ``torch.load(weights_only=True)``. Wrappers of
    training scripts (``state_dict``, ``model``, ``model_state``, ``model_state_dict``, ``net``,
    ``module``, and ``state_dict_ema``, ``model_ema``, ``ema``) are taken off; where there are
    averaged weights beside plain ones, the averaged ones are taken and the log says so. Names are
    those of the file (`tvtfast.models.fitting.fit` knows of prefixes).

    Args:
        path: The file.
        digest: SHA-256 of the file in hexadecimal, where it is known.

    Raises:
        FileNotFoundError: No such file.
        CheckpointError: Another file than the digest is of, truncated or corrupt, of another
            format, or not a state dict.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    if digest is not None and file_digest(path) != digest:
        raise CheckpointError(
            f"{path} is not the file that was described when it was written (its SHA-256 is "
            "another): it was damaged, or writing was stopped in between. Run the command that "
            "writes it again, or restore a copy of the whole folder"
        )
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
            _refuse_inflation(path)
            with _plain_objects_allowed():
                content = torch.load(path, map_location="cpu", weights_only=True)
        weights = _unwrap(content, path)
        _refuse_overlap(weights, path)
    return weights


def file_digest(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def _plain_objects_allowed() -> Iterator[None]:
    known = torch.serialization.get_safe_globals()
    new: list[Any] = [kind for kind in _PLAIN_OBJECTS if kind not in known]
    with torch.serialization.safe_globals(new):
        yield


def _refuse_inflation(path: Path) -> None:
    """A checkpoint needs as much memory as its file: ``torch.save`` does not compress."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        claimed = sum(member.file_size for member in archive.infolist())
    held = path.stat().st_size
    if claimed > held + _SPARE:
        raise CheckpointError(
            f"{path} has {held:,} bytes and unpacks to {claimed:,}, which no checkpoint does; save "
            "the model's state_dict as safetensors and load that"
        )


def _refuse_overlap(weights: Mapping[str, Tensor], path: Path) -> None:
    """A tensor of more elements than its memory holds would need that memory when it is copied."""
    for name, tensor in weights.items():
        if tensor.layout != torch.strided or tensor.is_quantized:
            raise CheckpointError(
                f"{path}: {name} is a {tensor.layout} tensor (quantized: {tensor.is_quantized}); "
                "save dense weights"
            )
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise CheckpointError(
                f"{path}: {name} says that it has the shape {list(tensor.shape)}, and the file "
                "holds fewer numbers; it is damaged, or was saved as an expanded view: save "
                "contiguous tensors"
            )


def _unwrap(content: object, path: Path) -> dict[str, Tensor]:
    taken: list[str] = []
    for _ in range(_DEEPEST):
        if not isinstance(content, Mapping):
            break
        found = [name for name in (*_AVERAGED, *_PLAIN) if _holds_weights(content.get(name))]
        if not found:
            break
        if found[0] in _AVERAGED:
            beside = [name for name in found[1:] if name in _PLAIN]
            _log.info(
                "%s: the averaged weights %r are taken%s",
                path,
                ".".join([*taken, found[0]]),
                f", {beside[0]!r} beside them is not" if beside else "",
            )
        taken.append(found[0])
        content = content[found[0]]
    if isinstance(content, torch.nn.Module):
        raise CheckpointError(f"{path} holds a whole module; save its state_dict")
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(
            f"{path} holds {_described(content)}, not a state dict; save the model's state_dict"
        )
    wrong = [name for name, value in content.items() if not isinstance(value, Tensor)]
    if wrong:
        raise CheckpointError(
            f"{path} holds entries that are not tensors: {', '.join(map(str, wrong[:5]))}; save "
            "the model's state_dict alone, or under 'state_dict'"
        )
    return {str(name): value for name, value in content.items() if name not in _BOOKKEEPING}


def _holds_weights(value: object) -> bool:
    return isinstance(value, Mapping) and bool(value)


def _described(content: object) -> str:
    return "nothing" if content == {} else f"a {type(content).__name__}"
