"""Architectures as people write them down: names, strings, JSON, files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tvtfast.common.foreign import reading
from tvtfast.common.names import did_you_mean
from tvtfast.spaces.plain import read_json, shown
from tvtfast.spaces.references import reference, references
from tvtfast.spaces.registry import all_spaces
from tvtfast.spaces.vitas_deit import VitasDeitSpace
from tvtfast.spaces.yaml_files import SUFFIXES, read_yaml

ARCH_FORMS = (
    "an architecture as JSON, the string of an As-ViT topology or a ViTAS genotype, the name of a "
    "reference such as deit-tiny, or a file: best.json of a run, a JSON list, or the YAML of "
    "AutoFormer, TF-TAS or Auto-Prox"
)
"""What `read_architectures` takes, for help texts and messages."""


@dataclass(frozen=True)
class Written:
    """An architecture, and what was written beside it.

    Args:
        arch: As the space decodes it.
        space: Name of its space, where that was written or follows from how it was.
        model_options: What was written of `tvtfast.spaces.ModelOptions`.
    """

    arch: Any
    space: str | None = None
    model_options: Mapping[str, Any] = field(default_factory=dict)


def read_architectures(text: str) -> list[Written]:
    """What a text names: one architecture, or those of a file.

    Args:
        text: Any of `ARCH_FORMS`.

    Raises:
        FileNotFoundError: It is none of them, and no file has that name.
        ValueError: JSON that is none, or a file that cannot be read (`BadFileError`).
    """
    stripped = text.strip()
    if stripped.startswith("{"):
        try:
            return [_described(read_json(stripped))]
        except ValueError as error:
            raise ValueError(f"{shown(stripped)} is not JSON ({error})") from None
    if stripped in references():
        found = reference(stripped)
        return [Written(found.arch, found.space, asdict(found.options))]
    path = Path(text)
    if not _is_file(path):
        if _is_string(stripped):
            return [Written(stripped, _space_of(stripped))]
        raise FileNotFoundError(
            f"{shown(text)} is neither an existing file nor {ARCH_FORMS}"
            f"{did_you_mean(stripped, references())}"
        )
    if path.suffix in SUFFIXES:
        read = read_yaml(path)
        if read.arch is None:
            raise ValueError(
                f"{path} describes a space and no architecture of it; give a file with a subnet"
            )
        return [Written(read.arch, read.space.name, read.model_options)]
    with reading(path, "JSON", advice="give best.json of a run, or a JSON list"):
        content = json.loads(path.read_text(encoding="utf-8"))
    return [_described(entry) for entry in (content if isinstance(content, list) else [content])]


def space_of(text: str) -> str | None:
    """The space of an architecture by the form it is written in, or the name of a reference;
    ``None`` where that does not tell it."""
    stripped = text.strip()
    if stripped in references():
        return reference(stripped).space
    return _space_of(stripped) if _is_string(stripped) else None


def read_architecture(text: str) -> Written:
    """`read_architectures` of a text that names one.

    Raises:
        ValueError: A file of several.
    """
    found = read_architectures(text)
    if len(found) != 1:
        raise ValueError(f"{text} holds {len(found)} architectures; give a file of one")
    return found[0]


def _described(entry: Any) -> Written:
    if not isinstance(entry, Mapping) or "arch" not in entry:
        return Written(entry)
    space, options = entry.get("space"), entry.get("model_options")
    return Written(entry["arch"], space, options if isinstance(options, Mapping) else {})


def _is_string(text: str) -> bool:
    """Whether it is the string form of As-ViT, or a list of integers of ViTAS."""
    numbers = text.split()
    return "|" in text or (len(numbers) > 1 and all(number.isdecimal() for number in numbers))


def _space_of(text: str) -> str | None:
    """The space that a string form is of: ViTAS' integers are as many as it has genes."""
    if "|" in text:
        return "asvit"
    genes = len(text.split())
    return next(
        (
            space.name
            for space in all_spaces()
            if isinstance(space, VitasDeitSpace) and genes == 4 + 3 * space.slots
        ),
        None,
    )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False
