"""What can be scored: an encoded architecture, a module that exists already, or a name of timm."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from tvtfast.initialization import Draw, initialize_
from tvtfast.models import (
    FeatureFn,
    UnsupportedModelError,
    blank,
    count_flops,
    refuse_supernet,
)
from tvtfast.models.builder import with_memory
from tvtfast.models.named import is_timm
from tvtfast.scoring.cells import canonical
from tvtfast.scoring.own_space import space_definition
from tvtfast.scoring.timm_candidate import timm_candidate
from tvtfast.spaces import ModelOptions, Space

if TYPE_CHECKING:
    import pandas as pd


class Candidate(Protocol):
    """One entry of a population."""

    @property
    def source(self) -> Any:
        """What the caller gave."""

    @property
    def label(self) -> str:
        """How it is shown: canonical JSON, the name of the module, or that of timm."""

    @property
    def identity(self) -> str | None:
        """What determines it apart from its weights, as canonical JSON; ``None`` when that cannot
        be told."""

    @property
    def options(self) -> ModelOptions:
        """Image size and what else is common to all candidates."""

    @property
    def feature_fn(self) -> FeatureFn | None:
        """How to read its features; ``None`` for its own interface."""

    def params(self) -> int: ...

    def flops(self, images: Tensor | None) -> int: ...

    def module(self, seed: int, device: torch.device, draw: Draw | None = None) -> nn.Module:
        """The candidate with its weights, on the device it is scored on.

        Args:
            seed: Of the weights.
            device: Where an architecture is built.
            draw: Draws them, see `tvtfast.initialize_`.
        """


@dataclass(frozen=True, slots=True)
class ArchCandidate:
    """An architecture of a space; its module is built when a proxy needs it.

    Args:
        source: The architecture, decoded.
        label: Its canonical JSON.
        space: Its space.
        options: Model options.
        surroundings: Canonical JSON of options and space.
    """

    source: Any
    label: str
    space: Space[Any]
    options: ModelOptions
    surroundings: str
    feature_fn: None = None

    @property
    def identity(self) -> str:
        return f'{{"arch":{encode_basestring_ascii(self.label)},{self.surroundings}}}'

    def params(self) -> int:
        return self.space.params(self.source, **asdict(self.options))

    def flops(self, images: Tensor | None) -> int:
        return self.space.flops(self.source, **asdict(self.options))

    def module(self, seed: int, device: torch.device, draw: Draw | None = None) -> nn.Module:
        model = blank(self.source, space=self.space, **asdict(self.options))
        return initialize_(with_memory(model, device), seed, draw=draw).eval()


@dataclass(frozen=True)
class ModuleCandidate:
    """A module with the weights it has; it stays where it is."""

    source: nn.Module
    label: str
    options: ModelOptions
    feature_fn: FeatureFn | None
    identity: None = None

    def params(self) -> int:
        return sum(parameter.numel() for parameter in self.source.parameters())

    def flops(self, images: Tensor | None) -> int:
        if images is None:
            raise UnsupportedModelError("counting the FLOPs of a module needs images")
        return count_flops(self.source, images[:1])

    def module(self, seed: int, device: torch.device, draw: Draw | None = None) -> nn.Module:
        return self.source


def outside_notes(population: Iterable[Candidate]) -> tuple[str, ...]:
    """One line on the architectures that a search of their space would not propose, if any."""
    archs = [one for one in population if isinstance(one, ArchCandidate)]
    note = archs[0].space.note_outside(one.source for one in archs) if archs else ""
    return (note,) if note else ()


def features_of(population: Iterable[Candidate]) -> pd.DataFrame:
    """Features of architectures in closed form, one row per candidate; NaN for modules."""
    import pandas as pd

    return pd.DataFrame(
        [
            one.space.features_of(one.source) if isinstance(one, ArchCandidate) else {}
            for one in population
        ],
        dtype="float64",
    )


def as_candidates(
    given: Iterable[Any],
    space: Space[Any] | None,
    options: ModelOptions,
    feature_fn: FeatureFn | None,
    stated: Collection[str] = (),
) -> list[Candidate]:
    """Check a population before anything is computed.

    Args:
        given: Architectures of the space, modules, and names of timm.
        space: The space of architectures.
        options: Model options.
        feature_fn: How to read features of modules and of models of timm.
        stated: Names of the model options that the caller stated.

    Raises:
        TypeError: Not an iterable of candidates.
        ValueError: It is empty, an architecture is not sound, a name is none of timm or cannot be
            built for the images, no space was given, or a module is a supernet.
    """
    if isinstance(given, (str, Mapping, nn.Module)) or not isinstance(given, Iterable):
        raise TypeError(
            f"candidates is a {type(given).__name__}; give a list of architectures, modules and "
            "names of models of timm"
        )
    found: list[Candidate] = []
    surroundings = ""
    if space is not None:
        around = {"options": options.identity, "space": space.name}
        if definition := space_definition(space):
            around["space_definition"] = definition
        surroundings = canonical(around)[1:-1]
    for index, entry in enumerate(given):
        if isinstance(entry, nn.Module):
            refuse_supernet(entry, f"candidate {index}")
            found.append(
                ModuleCandidate(entry, f"{type(entry).__name__}[{index}]", options, feature_fn)
            )
        elif (named := _is_name(entry, space)) or space is not None:
            try:
                if named:
                    found.append(timm_candidate(entry, options, stated, feature_fn))
                else:
                    assert space is not None
                    arch = space.decode(entry)
                    label = space.text(arch)
                    found.append(ArchCandidate(arch, label, space, options, surroundings))
            except ValueError as error:
                raise ValueError(f"candidate {index}: {error}") from error
        else:
            raise ValueError(
                f"candidate {index} is an architecture ({type(entry).__name__}); say which space "
                "it belongs to: space=..."
            )
    if not found:
        raise ValueError("there are no candidates to score; give at least one")
    return found


def _is_name(entry: Any, space: Space[Any] | None) -> bool:
    """Whether an entry is the name of a model of timm; without a space every word is taken for
    one."""
    if not isinstance(entry, str) or not re.fullmatch(r"[A-Za-z]\w*(\.\w+)?", entry):
        return False
    return space is None or is_timm(entry)
