"""Names of parameters in a code base beside those of tvtfast."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

Pair = tuple[str, str]

_WILDCARDS = {"#": r"(\d+)", "*": r"(.+)"}


@dataclass(frozen=True)
class RenameMap:
    """Where the parameters of one family of models lie in a code base.

    Args:
        host: The code base, such as ``autoformer``.
        model: Which models of tvtfast they are: the name of a class of `tvtfast.models`.
        pairs: Names there and here. ``#`` stands for a number and ``*`` for the rest of a name;
            both have them in the same order.
        options: Fields of `tvtfast.spaces.ModelOptions` that make a model here compute what one
            computes there.
        joined_tokens: Class and distillation token are one parameter ``cls_token`` there,
            ``[1, 2, dim]``.
        interleaved_qkv: Rows of a fused qkv weight are those of q, k and v in turn there. Its bias
            is not: a candidate takes the first entries of it, and its first third is of q.
        numbered_by_slot: Blocks that are not used leave gaps in the numbers there.
        form: ``form(module)``: what a module there says of its form, as further ``options``; it
            raises ``ValueError`` where no model here has that form.
    """

    host: str
    model: str
    pairs: tuple[Pair, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    joined_tokens: bool = False
    interleaved_qkv: bool = False
    numbered_by_slot: bool = False
    form: Callable[[nn.Module], Mapping[str, Any]] | None = None

    def unknown(self, weights: Mapping[str, Tensor]) -> list[str]:
        """Names of the code base that the map does not have."""
        return [name for name in weights if self._to_ours(name) is None]

    def unknown_here(self, weights: Mapping[str, Tensor]) -> list[str]:
        """Names of tvtfast that the map does not have."""
        joined = {"dist_token"} if self.joined_tokens else set()
        return [name for name in weights.keys() - joined if self._to_theirs(name) is None]

    def to_ours(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights of the code base under the names of tvtfast, and in its order of rows.

        Args:
            weights: State dict; every name is one of the map.
        """
        found = {str(self._to_ours(name)): tensor for name, tensor in weights.items()}
        if self.joined_tokens and found["cls_token"].shape[1] == 2:
            found["cls_token"], found["dist_token"] = found["cls_token"].split(1, dim=1)
        if self.numbered_by_slot:
            found = _without_gaps(found)
        if self.interleaved_qkv:
            found |= _over_qkv(found, _grouped)
        return found

    def to_theirs(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The reverse of `to_ours`.

        Args:
            weights: State dict; every name is one of the map.
        """
        given = dict(weights)
        if self.joined_tokens and "dist_token" in given:
            joined = given["cls_token"], given.pop("dist_token")
            given["cls_token"] = torch.cat(joined, dim=1)
        if self.interleaved_qkv:
            given |= _over_qkv(given, _interleaved)
        return {str(self._to_theirs(name)): tensor for name, tensor in given.items()}

    @cached_property
    def _to_ours(self) -> Callable[[str], str | None]:
        return _translation(self.pairs)

    @cached_property
    def _to_theirs(self) -> Callable[[str], str | None]:
        return _translation(tuple((ours, theirs) for theirs, ours in self.pairs))

    def __getstate__(self) -> dict[str, Any]:
        """Without the translations, which are functions."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


def same(*names: str) -> tuple[Pair, ...]:
    """Pairs of names that are equal there and here."""
    return tuple((name, name) for name in names)


def _translation(pairs: tuple[Pair, ...]) -> Callable[[str], str | None]:
    compiled = [
        (re.compile("".join(_WILDCARDS.get(part, re.escape(part)) for part in source)), target)
        for source, target in pairs
    ]

    def translate(name: str) -> str | None:
        for pattern, target in compiled:
            if found := pattern.fullmatch(name):
                return re.sub(r"[#*]", "{}", target).format(*found.groups())
        return None

    return translate


def _over_qkv(
    weights: Mapping[str, Tensor], change: Callable[[Tensor], Tensor]
) -> dict[str, Tensor]:
    return {name: change(weights[name]) for name in weights if name.endswith(".qkv.weight")}


def _grouped(weight: Tensor) -> Tensor:
    """Rows q, k, v, q, k, v, ... as all of q, then of k, then of v."""
    return weight.unflatten(0, (-1, 3)).transpose(0, 1).flatten(0, 1)


def _interleaved(weight: Tensor) -> Tensor:
    return weight.unflatten(0, (3, -1)).transpose(0, 1).flatten(0, 1)


def _without_gaps(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Blocks numbered one after another."""
    block = re.compile(r"blocks\.(\d+)\.")
    slots = sorted({int(found[1]) for name in weights if (found := block.match(name))})
    places = {slot: place for place, slot in enumerate(slots)}
    return {
        block.sub(lambda found: f"blocks.{places[int(found[1])]}.", name, count=1): tensor
        for name, tensor in weights.items()
    }
