"""What folders of trained networks have in common: weights, and a card that describes them.

The card holds the SHA-256 of the file of weights, and one of itself. Cards of version 1 have
neither, and are read without a check.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import safetensors.torch
from torch import nn

from tvtfast.common.files import write_durably, write_json
from tvtfast.common.foreign import reading
from tvtfast.common.normalization import Normalization
from tvtfast.models.checkpoint import CheckpointError

Card = TypeVar("Card")

_UNSEALED, _VERSION = 1, 2
_WEIGHTS_DIGEST, _OWN_DIGEST = "weights_sha256", "card_sha256"


@dataclass(frozen=True)
class Described(Generic[Card]):
    """What a card says.

    Args:
        card: The dataclass.
        digest: SHA-256 of the file of weights; ``None`` in folders of version 1.
    """

    card: Card
    digest: str | None


def write_weights(path: Path, module: nn.Module) -> str:
    """All parameters and buffers as safetensors; the file replaces the one before it at once.

    Returns:
        The SHA-256 of the file, in hexadecimal.
    """
    weights = {name: tensor.contiguous() for name, tensor in module.state_dict().items()}
    content = safetensors.torch.save(weights)
    write_durably(path, lambda target: target.write_bytes(content))
    return hashlib.sha256(content).hexdigest()


def write_card(path: Path, card: Any, kind: str, digest: str) -> None:
    """Write a dataclass that `read_card` reads, and the digest of the weights beside it."""
    content = {
        "format": f"tvtfast {kind}",
        "version": _VERSION,
        **asdict(card),
        _WEIGHTS_DIGEST: digest,
    }
    write_json(path, content | {_OWN_DIGEST: _digest(content)})


def read_card(path: Path, card: type[Card], kind: str, advice: str) -> Described[Card]:
    """Read a dataclass, whose fields ``normalization`` and ``classes`` are made what they were.

    Args:
        path: The file.
        card: The dataclass.
        kind: What the folder is one of, such as ``student``.
        advice: How to come by one.

    Raises:
        FileNotFoundError: There is no such file.
        CheckpointError: It is damaged, or the card of something else.
    """
    try:
        with reading(
            path,
            f"the card of a {kind}",
            advice="it was damaged or edited after it was written; restore a copy of the folder, "
            f"or {advice}",
            error=CheckpointError,
        ):
            content = _opened(json.loads(path.read_text(encoding="utf-8")), f"tvtfast {kind}")
            digest = content.pop(_WEIGHTS_DIGEST, None)
            if "classes" in content:
                content["classes"] = content["classes"] and tuple(content["classes"])
            means = content["normalization"]
            content["normalization"] = means and Normalization(
                tuple(means["mean"]), tuple(means["std"])
            )
            return Described(card(**content), digest)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path.parent} is not a {kind} folder: it has no {path.name}; {advice}"
        ) from None


def _opened(content: Any, kind: str) -> dict[str, Any]:
    """A card without what is there to read it by."""
    version, own = content.get("version"), content.get(_OWN_DIGEST)
    spelled = (kind, kind.replace(" ", "-"))
    if content.get("format") not in spelled or version not in (_UNSEALED, _VERSION):
        raise ValueError(f"not format {kind!r} of version {_UNSEALED} or {_VERSION}")
    bare = {name: value for name, value in content.items() if name != _OWN_DIGEST}
    if version == _VERSION and (own != _digest(bare) or _WEIGHTS_DIGEST not in bare):
        raise ValueError("its SHA-256 is another than the one in it")
    return {name: value for name, value in bare.items() if name not in ("format", "version")}


def _digest(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
