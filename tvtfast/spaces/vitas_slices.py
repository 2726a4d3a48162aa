"""Where the parameters of a ViTAS block and of what follows the blocks lie in the superformer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tvtfast.spaces.slices import Axis, Piece, layer_pieces

_PRIVATE = {0: "", 1: "v", 2: "qk"}
"""By mode the projections that are private to a number of heads."""
_FUSED = {0: ("qkv",), 1: ("qk", "v"), 2: ("qk", "v")}
"""By mode the projections that the released code of ViTAS cuts as one weight."""


@dataclass(frozen=True)
class BlockSlices:
    """Axes of one block, and what its attention is private to.

    Args:
        embed: Width of the tokens.
        inner: Width of each of q, k and v.
        hidden: Width of the hidden layer of the MLP.
        heads: Attention heads.
        kind: What the names of all stored parameters of this kind of attention begin with.
        subsampled: Whether keys and values are made of a coarser grid than queries.
    """

    embed: Axis
    inner: Axis
    hidden: Axis
    heads: int
    kind: str = ""
    subsampled: bool = False

    def pieces(
        self, block: str, qkv_mode: int, fused: bool = False
    ) -> dict[str, tuple[Piece, ...]]:
        """The part of a block in a `tvtfast.spaces.Layout`.

        Args:
            block: What the names of its parameters begin with, such as ``blocks.0.``.
            qkv_mode: What is private to a number of heads.
            fused: Whether q and k (in mode 0 also v) are cut as one weight; not of subsampled keys.
        """
        return {
            **layer_pieces(f"{block}norm1", self.embed),
            **dict(self._attention(f"{block}attn", qkv_mode, fused)),
            **layer_pieces(f"{block}norm2", self.embed),
            **layer_pieces(f"{block}mlp.fc1", self.hidden, self.embed),
            **layer_pieces(f"{block}mlp.fc2", self.embed, self.hidden),
        }

    def _attention(
        self, name: str, mode: int, fused: bool
    ) -> Iterator[tuple[str, tuple[Piece, ...]]]:
        stored = f"{self.kind}{name}"
        for layer in ("q", "kv") if self.subsampled else ("qkv",):
            parts = []
            for part in _FUSED[mode] if fused else layer:
                owner = f"heads{self.heads}." if part in _PRIVATE[mode] else ""
                key, rows = f"{owner}{stored}.{part}", _times(self.inner, len(part))
                parts.append(layer_pieces(f"{name}.{layer}", rows, self.embed, key=key))
            for parameter in parts[0]:
                yield parameter, tuple(piece for part in parts for piece in part[parameter])
        yield from layer_pieces(
            f"{name}.proj", self.embed, self.inner, key=f"{stored}.proj"
        ).items()
        if self.subsampled:
            axes = (self.embed, self.embed, None, None)
            yield from layer_pieces(f"{name}.sr", *axes, key=f"{stored}.sr").items()
            yield from layer_pieces(f"{name}.norm", self.embed, key=f"{stored}.norm").items()


def _times(axis: Axis, count: int) -> Axis:
    """The axis of several projections that are cut as one."""
    return Axis(tuple(count * width for width in axis.widths), count * axis.width)


def classifier_pieces(embed: Axis) -> dict[str, tuple[Piece, ...]]:
    """The final norm and the classifier."""
    return {**layer_pieces("norm", embed), **layer_pieces("head", None, embed)}


def inner_axis(qkv_dims: tuple[int, ...], qkv: int) -> Axis:
    """The width of each of q, k and v from the total widths."""
    return Axis(tuple(dim // 3 for dim in qkv_dims), qkv // 3)
