"""How the parameters of a candidate are slices of those that all candidates of a space share.

A parameter of a candidate is one slice of a stored one, or several laid one after another along the
first dimension: a fused qkv projection is three. Some stored parameters are private: in the spaces
of ViTAS those of the stem to a patch size, those of attention (by mode) to a number of heads, and
to its kind. A space says so of every parameter in `Space.layout`, and
`tvtfast.supernet.Superformer` stores them; it refuses what is not declared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

QKV_MODES = (0, 1, 2)
"""0: q, k and v are shared by all head counts; 1: v is private to one; 2: q and k are."""


@dataclass(frozen=True)
class Axis:
    """A dimension that is sliced.

    Args:
        widths: All widths it may have, ascending.
        width: The one it has.
    """

    widths: tuple[int, ...]
    width: int


@dataclass(frozen=True)
class Piece:
    """A slice of a stored parameter.

    Args:
        key: Its name in the superformer.
        axes: Per dimension how it is sliced; ``None`` where all of it is taken.
    """

    key: str
    axes: tuple[Axis | None, ...]


Layout: TypeAlias = Mapping[str, tuple[Piece, ...]]
"""By name of a candidate's parameter its pieces. Names of parameters that some candidates lack may
stand there; one that is missing is an error."""


def layer_pieces(
    name: str, *axes: Axis | None, key: str | None = None
) -> dict[str, tuple[Piece, ...]]:
    """The part of a layer in a `Layout`: its ``weight`` and, of the first axis alone, its ``bias``.

    Args:
        name: Of the layer in the candidate.
        *axes: How the dimensions of its weight are sliced: out, in, and those of a kernel; of a
            norm one.
        key: Of the layer in the superformer; default ``name``.
    """
    key = name if key is None else key
    return {
        f"{name}.weight": (Piece(f"{key}.weight", axes),),
        f"{name}.bias": (Piece(f"{key}.bias", axes[:1]),),
    }


Genes: TypeAlias = tuple[tuple[object, ...], ...]
"""Decisions by the part of the network that takes them up, see `Space.genes`."""
