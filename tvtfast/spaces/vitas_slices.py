"""Where the parameters of a ViTAS block and of what follows the blocks lie in the superformer."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tvtfast.spaces.slices import Axis, Piece

_ATTENTION = re.compile(r"(?P<block>blocks\.[\d.]+\.)attn\.(?P<layer>\w+)\.(?P<kind>\w+)")
_FUSED = {"qkv": "qkv", "q": "q", "kv": "kv"}


@dataclass(frozen=True)
class BlockSlices:
    """Axes of one block, and what its attention is private to.

    Args:
        embed: Width of the tokens.
        inner: Width of each of q, k and v.
        hidden: Width of the hidden layer of the MLP.
        heads: Attention heads.
        kind: What the names of all stored parameters of this kind of attention begin with.
    """

    embed: Axis
    inner: Axis
    hidden: Axis
    heads: int
    kind: str = ""

    def __call__(self, name: str, qkv_mode: int) -> tuple[Piece, ...]:
        """Pieces of a parameter of the block."""
        found = _ATTENTION.fullmatch(name)
        return self._attention(name, found["layer"], qkv_mode) if found else self._rest(name)

    def _attention(self, name: str, layer: str, mode: int) -> tuple[Piece, ...]:
        owner, _, short = name.rpartition(".")
        root = f"{self.kind}{owner.rpartition('.')[0]}"
        if layer in _FUSED:
            axes = (self.inner, self.embed) if short == "weight" else (self.inner,)
            return tuple(
                Piece(f"{self._private(part, mode)}{root}.{part}.{short}", axes)
                for part in _FUSED[layer]
            )
        dimensions = {
            "proj": (self.embed, self.inner),
            "sr": (self.embed, self.embed, None, None),
            "norm": (self.embed,),
        }[layer]
        return (Piece(f"{self.kind}{name}", dimensions if short == "weight" else (self.embed,)),)

    def _private(self, part: str, mode: int) -> str:
        private = {0: "", 1: "v", 2: "qk"}[mode]
        return f"heads{self.heads}." if part in private else ""

    def _rest(self, name: str) -> tuple[Piece, ...]:
        """Pieces of a parameter of the norms or of the MLP."""
        if ".mlp.fc1." in name:
            axes: tuple[Axis, ...] = (self.hidden, self.embed)
        elif ".mlp.fc2." in name:
            axes = (self.embed, self.hidden)
        else:
            axes = (self.embed,)
        return (Piece(name, axes if name.endswith("weight") else axes[:1]),)


def classifier_pieces(name: str, ndim: int, embed: Axis) -> tuple[Piece, ...]:
    """Pieces of a parameter of the final norm or of the classifier."""
    if name.startswith("norm."):
        return (Piece(name, (embed,)),)
    return (Piece(name, (None, embed) if ndim == 2 else (None,)),)


def inner_axis(qkv_dims: tuple[int, ...], qkv: int) -> Axis:
    """The width of each of q, k and v from the total widths."""
    return Axis(tuple(dim // 3 for dim in qkv_dims), qkv // 3)
