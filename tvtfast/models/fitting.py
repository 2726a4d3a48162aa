"""Whose weights these are: names that training tools change, and what does not fit."""

from __future__ import annotations

import logging
import os
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tvtfast.common.foreign import reading
from tvtfast.models.checkpoint import CheckpointError

PREFIXES = ("module.", "_orig_mod.", "model.", "backbone.")
"""What data parallel training, ``torch.compile`` and training frameworks put before names."""
_DEEPEST = 6
_SHOWN = 3
_UNCOUNTED = ".num_batches_tracked"
"""Buffers that checkpoints of old versions of PyTorch lack; it puts them in itself."""

_log = logging.getLogger(__name__)

FOLDER_ADVICE = "restore a copy of the whole folder, or train it again"
MODULE_ADVICE = (
    "give the weights of this very model, or name the model they belong to: --teacher NAME, "
    "load_teacher(NAME, checkpoint=...)"
)


@dataclass(frozen=True)
class Mismatch:
    """What keeps weights from a module, by name."""

    missing: Sequence[str]
    unexpected: Sequence[str]
    reshaped: Sequence[str]

    def __len__(self) -> int:
        return len(self.missing) + len(self.unexpected) + len(self.reshaped)

    def __str__(self) -> str:
        kinds = {
            "missing": self.missing,
            "unexpected": self.unexpected,
            "of another shape": self.reshaped,
        }
        return "; ".join(
            f"{len(names)} {kind}: {', '.join(names[:_SHOWN])}{' ...' if names[_SHOWN:] else ''}"
            for kind, names in kinds.items()
            if names
        )


def fit(
    module: nn.Module,
    weights: Mapping[str, Tensor],
    path: str | os.PathLike[str],
    *,
    name: str | None = None,
    advice: str = MODULE_ADVICE,
) -> None:
    """Load weights into a module; nothing is changed where they do not fit.

    Where their names do not fit as they are, they are read as `spellings` says. Weights take the
    dtype of the module.

    Args:
        module: The module.
        weights: What `tvtfast.models.checkpoint.load_weights` read.
        path: Where from, for messages.
        name: What to call the module; default its class.
        advice: What to do where they do not fit.

    Raises:
        CheckpointError: They are those of another module; the message names the first keys.
    """
    spelling = check_fit(module, weights, path, name=name, advice=advice)
    half = {str(t.dtype) for t in spelling.values() if t.dtype in (torch.float16, torch.bfloat16)}
    if half:
        _log.info("%s: weights in %s are brought to float32", os.fspath(path), " and ".join(half))
    with reading(path, "weights", advice=advice, error=CheckpointError), torch.no_grad():
        module.load_state_dict(spelling)


def check_fit(
    module: nn.Module,
    weights: Mapping[str, Tensor],
    path: str | os.PathLike[str],
    *,
    name: str | None = None,
    advice: str = MODULE_ADVICE,
) -> dict[str, Tensor]:
    """The weights under the names of a module, which may be on the meta device; see `fit`.

    Raises:
        CheckpointError: As in `fit`.
    """
    wanted = module.state_dict()
    closest: Mismatch | None = None
    for spelling in spellings(weights):
        found = _mismatch(wanted, spelling)
        if not found:
            return spelling
        if closest is None or len(found) < len(closest):
            closest = found
    raise CheckpointError(
        f"the weights in {os.fspath(path)} do not fit {name or type(module).__name__} ({closest}); "
        f"{advice}"
    )


def spellings(weights: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """The weights as they are named, then without the prefixes of training tools, nested in
    whatever order; each time as well with the names that pycls gives to a ResNet in the usual
    form."""
    waiting = deque([(0, dict(weights))])
    seen = set()
    while waiting:
        depth, named = waiting.popleft()
        if frozenset(named) in seen:
            continue
        seen.add(frozenset(named))
        yield named
        translated = {_from_pycls(name): tensor for name, tensor in named.items()}
        if translated.keys() != named.keys():
            yield translated
        for prefix in PREFIXES if depth < _DEEPEST else ():
            shorter = {name.removeprefix(prefix): tensor for name, tensor in named.items()}
            if len(shorter) == len(named):
                waiting.append((depth + 1, shorter))


def classes_of(weights: Mapping[str, Tensor], classifiers: Sequence[str]) -> int | None:
    """Rows of the first of the layers ``classifiers`` that the weights hold; ``None`` for none."""
    for named in spellings(weights):
        for layer in classifiers:
            for kind in ("weight", "bias"):
                found = named.get(f"{layer}.{kind}")
                if found is not None and found.ndim:
                    return len(found)
    return None


def _mismatch(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> Mismatch:
    return Mismatch(
        [name for name in wanted if name not in given and not name.endswith(_UNCOUNTED)],
        [name for name in given if name not in wanted],
        [
            f"{name} is {list(given[name].shape)} and should be {list(tensor.shape)}"
            for name, tensor in wanted.items()
            if name in given and given[name].shape != tensor.shape
        ],
    )


_PYCLS = (
    (r"^stem\.conv\.", "conv1."),
    (r"^stem\.bn\.", "bn1."),
    (r"^head\.fc\.", "fc."),
    (r"\.f\.a\.", ".conv1."),
    (r"\.f\.a_bn\.", ".bn1."),
    (r"\.f\.b\.", ".conv2."),
    (r"\.f\.b_bn\.", ".bn2."),
    (r"\.f\.c\.", ".conv3."),
    (r"\.f\.c_bn\.", ".bn3."),
    (r"^(s\d+\.b\d+)\.proj\.", r"\1.downsample.0."),
    (r"^(s\d+\.b\d+)\.bn\.", r"\1.downsample.1."),
)
_PYCLS_BLOCK = re.compile(r"^s(\d+)\.b(\d+)\.")


def _from_pycls(name: str) -> str:
    for pattern, usual in _PYCLS:
        name = re.sub(pattern, usual, name)
    block = _PYCLS_BLOCK.match(name)
    if block is None:
        return name
    return f"layer{block[1]}.{int(block[2]) - 1}.{name[block.end() :]}"
