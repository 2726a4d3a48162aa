"""Where the parameters of a candidate lie in the superformer, as its space declares it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from tvtfast.spaces import Layout, Piece, Space

Pieces = dict[str, tuple[Piece, ...]]


def pieces_of(model: nn.Module, layout: Layout, space: Space[Any]) -> Pieces:
    """By parameter of a candidate its pieces.

    Raises:
        ValueError: A parameter that the layout does not name, or one that it cuts to another shape
            than the parameter has.
    """
    parameters = dict(model.named_parameters())
    unknown = [name for name in parameters if name not in layout]
    if unknown:
        more = f" (nor {len(unknown) - 1} more)" if unknown[1:] else ""
        raise ValueError(
            f"space {space.name!r} does not say where {unknown[0]} of {type(model).__name__}, "
            f"{list(parameters[unknown[0]].shape)}, lies in a superformer{more}; declare it in "
            "layout: its stored name, and per dimension the Axis that it is cut by, or None"
        )
    for name, parameter in parameters.items():
        cut = _cut(layout[name], list(parameter.shape))
        if cut != list(parameter.shape):
            raise ValueError(
                f"space {space.name!r} cuts {name} of {type(model).__name__} to {cut}, and its "
                f"shape is {list(parameter.shape)}; correct its layout: an Axis or None per "
                "dimension, and an Axis for the first where several pieces are laid along it"
            )
    return {name: layout[name] for name in parameters}


def _cut(pieces: tuple[Piece, ...], shape: list[int]) -> list[int]:
    """The shape of pieces put together; what is not cut has the size that it has in ``shape``."""
    sizes = [
        [
            axis.width if axis is not None else size
            for axis, size in zip(piece.axes, [*shape, *[0] * len(piece.axes)], strict=False)
        ]
        for piece in pieces
    ]
    return [sum(size[0] for size in sizes), *sizes[0][1:]]


def check_uncut(
    model: nn.Module, pieces: Pieces, stored: Callable[[str], Tensor], space: Space[Any]
) -> None:
    """Refuse a dimension that is not cut, and is longer in some candidates than in others.

    Args:
        model: A candidate.
        pieces: Of its parameters.
        stored: From the key of a piece to the parameter of the superformer.
        space: The space of both.

    Raises:
        ValueError: The message names the parameter.
    """
    for name, parameter in model.named_parameters():
        for piece in pieces[name]:
            whole = stored(piece.key).shape
            for dim, axis in enumerate(piece.axes):
                if axis is None and whole[dim] != parameter.shape[dim]:
                    raise ValueError(
                        f"dimension {dim} of {name} is {parameter.shape[dim]} in one candidate of "
                        f"space {space.name!r} and {whole[dim]} in another, and its layout does not"
                        " cut it; give it an Axis, or candidates that differ in it stored names of "
                        "their own"
                    )
