"""Spaces by name."""

from __future__ import annotations

from typing import Any

from tvtfast.common.names import unknown
from tvtfast.spaces import asvit, autoformer, pit, vitas_cell, vitas_deit, vitas_twins
from tvtfast.spaces.base import Space

_spaces: dict[str, Space[Any]] = {}
_aliases = {
    "autoformer": "autoformer-tiny",
    "autoformer-small": "autoformer-original-small",
    "autoformer-base": "autoformer-original-base",
}


def register(space: Space[Any]) -> Space[Any]:
    """Add a space under its name, so that `get`, the command line and run folders know it.

    Raises:
        ValueError: The name is taken by another space.
    """
    if _spaces.get(space.name, space) != space or space.name in _aliases:
        raise ValueError(f"a space named {space.name!r} is registered already; choose another name")
    _spaces[space.name] = space
    return space


def available() -> tuple[str, ...]:
    """Names of the registered spaces."""
    return tuple(sorted(_spaces))


def get(name: str | Space[Any]) -> Space[Any]:
    """The space of a name; a space passes through.

    Raises:
        ValueError: An unknown name; the message lists the known ones.
    """
    if isinstance(name, Space):
        return name
    space = _spaces.get(_aliases.get(name, name)) if isinstance(name, str) else None
    if space is None:
        raise ValueError(unknown("space", name, (*available(), *_aliases)))
    return space


for _space in (
    *asvit.SPACES,
    *autoformer.SPACES,
    *pit.SPACES,
    *vitas_cell.SPACES,
    *vitas_deit.SPACES,
    *vitas_twins.SPACES,
):
    register(_space)
