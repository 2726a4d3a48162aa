"""Search spaces: what a candidate may look like, as pure data."""

from __future__ import annotations

from typing import Any

from tvtfast.common.names import unknown
from tvtfast.spaces import asvit, autoformer, pit, vitas_cell, vitas_deit, vitas_twins
from tvtfast.spaces.asvit import AsViTArch, AsViTSpace
from tvtfast.spaces.autoformer import AutoFormerArch, AutoFormerSpace
from tvtfast.spaces.base import NotEnumerableError, Space
from tvtfast.spaces.constraints import (
    METRICS,
    Constraints,
    InfeasibleError,
    Window,
    describe_windows,
    parse_constraints,
    parse_windows,
)
from tvtfast.spaces.options import ModelOptions, default_patch_size
from tvtfast.spaces.paths import Paths
from tvtfast.spaces.pit import PiTArch, PiTSpace
from tvtfast.spaces.skeletons import Skeleton
from tvtfast.spaces.slices import QKV_MODES, Axis, Genes, Layout, Piece, layer_pieces
from tvtfast.spaces.steps import Step
from tvtfast.spaces.variables import Variable
from tvtfast.spaces.vitas_cell import VitasCellSpace
from tvtfast.spaces.vitas_deit import VitasDeitArch, VitasDeitSpace
from tvtfast.spaces.vitas_twins import StageChoices, VitasTwinsArch, VitasTwinsSpace

__all__ = [
    "METRICS",
    "QKV_MODES",
    "AsViTArch",
    "AsViTSpace",
    "AutoFormerArch",
    "AutoFormerSpace",
    "Axis",
    "Constraints",
    "Genes",
    "InfeasibleError",
    "Layout",
    "ModelOptions",
    "NotEnumerableError",
    "Paths",
    "PiTArch",
    "PiTSpace",
    "Piece",
    "Skeleton",
    "Space",
    "StageChoices",
    "Step",
    "Variable",
    "VitasCellSpace",
    "VitasDeitArch",
    "VitasDeitSpace",
    "VitasTwinsArch",
    "VitasTwinsSpace",
    "Window",
    "available",
    "default_patch_size",
    "describe_windows",
    "get",
    "layer_pieces",
    "parse_constraints",
    "parse_windows",
    "register",
]

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
