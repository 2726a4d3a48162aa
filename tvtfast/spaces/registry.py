"""Spaces by name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from tvtfast.common.names import unknown
from tvtfast.common.plugins import Plugins
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
        ValueError: The name is taken by another space, or by that of an installed package.
    """
    if _spaces.get(space.name, space) != space or space.name in _aliases:
        raise ValueError(f"a space named {space.name!r} is registered already; choose another name")
    PLUGINS.refuse_taken(space.name, space)
    _spaces[space.name] = space
    return space


def available() -> tuple[str, ...]:
    """Names of the registered spaces, and of those that installed packages bring along."""
    return tuple(sorted({*_spaces, *PLUGINS.names()}))


def all_spaces() -> Iterator[Space[Any]]:
    """Every space; one of a package that cannot be loaded is left out, with a warning."""
    return (_spaces[name] for name in available() if PLUGINS.usable(name))


def get(name: str | Space[Any]) -> Space[Any]:
    """The space of a name; a space passes through.

    Raises:
        ValueError: An unknown name; the message lists the known ones.
        PluginError: It is that of an installed package, and cannot be loaded.
    """
    if isinstance(name, Space):
        return name
    space = PLUGINS.find(_aliases.get(name, name)) if isinstance(name, str) else None
    if space is None:
        raise ValueError(unknown("space", name, (*available(), *_aliases)))
    return space


def space_of_folder(folder: str | os.PathLike[str], name: str) -> Space[Any]:
    """The space that a folder says its network is of.

    Raises:
        ValueError: It is not known in this process.
        PluginError: It is that of an installed package, and cannot be loaded.
    """
    space = PLUGINS.find(_aliases.get(name, name))
    if space is None:
        raise ValueError(
            f"{os.fspath(folder)} holds a network of space {name!r}, which is not known here; "
            "register the space first (tvtfast.spaces.register), on the command line with --import "
            "and the file that does"
        )
    return space


def is_built_in(space: Space[Any]) -> bool:
    """Whether a space is one that tvtfast brings along, so that its name says all of it."""
    return bool(_BUILT_IN.get(space.name) == space)


def _enter(name: str, brought: Any) -> None:
    """Register what a package brings along, unless its module did."""
    if not isinstance(brought, Space):
        raise TypeError(f"it is {brought!r}, and no tvtfast.spaces.Space")
    if brought.name != name:
        raise ValueError(f"the space is named {brought.name!r}; name the entry point like it")
    register(brought)


PLUGINS: Plugins[Space[Any]] = Plugins(
    "tvtfast.spaces", "space", lambda: _spaces, _enter, reserved=_aliases
)

for _space in (
    *asvit.SPACES,
    *autoformer.SPACES,
    *pit.SPACES,
    *vitas_cell.SPACES,
    *vitas_deit.SPACES,
    *vitas_twins.SPACES,
):
    register(_space)
_BUILT_IN = dict(_spaces)
