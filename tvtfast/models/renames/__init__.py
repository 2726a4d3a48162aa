"""Names of parameters in other code bases: tables, one module per host, that loading and converting
share."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from tvtfast.common.names import unknown
from tvtfast.models.fitting import spellings
from tvtfast.models.renames import auto_prox, autoformer, tf_tas, timm, vitas
from tvtfast.models.renames.base import RenameMap, same

OWN = "tvtfast"
RENAME_MAPS: dict[str, tuple[RenameMap, ...]] = {
    "autoformer": autoformer.MAPS,
    "tf-tas": tf_tas.MAPS,
    "auto-prox": auto_prox.MAPS,
    "timm": timm.MAPS,
    "vitas": vitas.MAPS,
}
"""By host the families of models whose names are known."""


def maps_of(host: str) -> tuple[RenameMap, ...]:
    """Families of a host; of ``tvtfast`` one that leaves every name.

    Raises:
        ValueError: An unknown host.
    """
    if host == OWN:
        return (RenameMap(OWN, "", same("*")),)
    if host not in RENAME_MAPS:
        raise ValueError(unknown("rename map", host, (*RENAME_MAPS, OWN), also="a RenameMap"))
    return RENAME_MAPS[host]


def read_names(
    weights: Mapping[str, Tensor], maps: tuple[RenameMap, ...]
) -> tuple[RenameMap, dict[str, Tensor]] | None:
    """The first of some maps that has every name, and the weights under its names, without the
    prefixes of training tools; ``None`` where none has."""
    for one in maps:
        for named in spellings(weights):
            if not one.unknown(named):
                return one, named
    return None


__all__ = ["OWN", "RENAME_MAPS", "RenameMap", "maps_of", "read_names"]
