"""The systems by name: the one place that lists them."""

from __future__ import annotations

from tvtfast.common import checks
from tvtfast.pipeline.defaults import Defaults
from tvtfast.pipeline.systems.as_vit import AsViT
from tvtfast.pipeline.systems.base import System
from tvtfast.pipeline.systems.tvt import TVT
from tvtfast.pipeline.systems.vitas import ViTAS

SYSTEMS: dict[str, System] = {system.name: system for system in (TVT(), AsViT(), ViTAS())}
"""What `tvtfast.pipeline.run` takes as ``system``."""


def system_of(name: str) -> System:
    """A system by its name.

    Raises:
        ValueError: There is none; the message names those that there are.
    """
    checks.choice("system", name, tuple(SYSTEMS))
    return SYSTEMS[name]


def defaults_for(dataset: str, system: str = TVT.name) -> Defaults:
    """The defaults of a data set by name: for ``digits`` what suits two CPU cores, for every other
    the published recipes."""
    return system_of(system).defaults(dataset)


__all__ = ["SYSTEMS", "System", "defaults_for", "system_of"]
