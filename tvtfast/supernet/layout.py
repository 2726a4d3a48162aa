"""Where every parameter of a candidate lies in the superformer.

A parameter of a candidate is one slice of a stored one, or several laid one after another along the
first dimension: a fused qkv projection is three. Some stored parameters are private: those of the
stem to a patch size, those of attention (by mode) to a number of heads, and to its kind.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tvtfast.spaces import VitasDeitArch, VitasDeitSpace, VitasTwinsArch, VitasTwinsSpace

QKV_MODES = (0, 1, 2)
"""0: q, k and v are shared by all head counts; 1: v is private to one; 2: q and k are."""

_ATTENTION = re.compile(r"(?P<block>blocks\.[\d.]+\.)attn\.(?P<layer>\w+)\.(?P<kind>\w+)")
_FUSED = {"qkv": "qkv", "q": "q", "kv": "kv"}


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


Layout = Callable[[str, int], tuple[Piece, ...]]
"""From the name of a candidate's parameter and its number of dimensions to its pieces."""


def layout(space: Any, arch: Any, qkv_mode: int) -> Layout:
    """How the parameters of one architecture are found.

    Raises:
        ValueError: A space that no superformer is known for, or an unknown mode.
    """
    if qkv_mode not in QKV_MODES:
        raise ValueError(f"qkv_mode is {qkv_mode!r}; allowed: {', '.join(map(str, QKV_MODES))}")
    if isinstance(space, VitasDeitSpace):
        return _Deit(space, arch, qkv_mode)
    if isinstance(space, VitasTwinsSpace):
        return _Twins(space, arch, qkv_mode)
    raise _unknown(space)


def _unknown(space: Any) -> ValueError:
    return ValueError(
        f"there is no superformer for space {space.name!r}; take a space of ViTAS: vitas-deit, "
        "vitas-deit-large, vitas-twins, or one of your own with these classes"
    )


def genes(arch: VitasDeitArch | VitasTwinsArch) -> tuple[tuple[Any, ...], ...]:
    """The decisions of an architecture by the segment that takes them up.

    Candidates of one space with equal genes up to some segment are the same network on the same
    slices up to there: what a slice is private to, and the widths it is cut by, are among them.
    They can be sorted.
    """
    if isinstance(arch, VitasDeitArch):
        blocks = zip(arch.num_heads, arch.qkv_dim, arch.mlp_dim, strict=True)
        return ((arch.patch_size, arch.embed_dim), *blocks)
    stages = zip(arch.embed_dim, arch.stages, strict=True)
    return tuple(gene for dim, blocks in stages for gene in (("merging", dim), *blocks))


def largest(space: Any) -> Iterator[Any]:
    """Architectures of the largest widths and depth that together use every stored parameter."""
    if isinstance(space, VitasTwinsSpace):
        yield from _largest_twins(space)
        return
    if not isinstance(space, VitasDeitSpace):
        raise _unknown(space)
    widths = (space.qkv_dims[-1], space.mlp_dims[-1])
    for number in range(max(len(space.patch_sizes), len(space.head_counts))):
        heads = space.head_counts[number % len(space.head_counts)]
        yield VitasDeitArch(
            space.patch_sizes[number % len(space.patch_sizes)],
            space.embed_dims[-1],
            *((value,) * space.slots for value in (heads, *widths)),
        )


def _largest_twins(space: VitasTwinsSpace) -> Iterator[VitasTwinsArch]:
    kinds = max(len(stage.attentions) for stage in space.stages)
    heads = max(len(stage.head_counts) for stage in space.stages)
    for number in range(kinds * heads):
        kind, head = divmod(number, heads)
        columns: list[tuple[Any, ...]] = []
        for stage in space.stages:
            block = (
                stage.attentions[kind % len(stage.attentions)],
                stage.head_counts[head % len(stage.head_counts)],
                stage.qkv_dims[-1],
                stage.mlp_dims[-1],
            )
            columns += [block] * stage.slots
        yield VitasTwinsArch(
            tuple(stage.embed_dims[-1] for stage in space.stages),
            tuple(stage.slots for stage in space.stages),
            *zip(*columns, strict=True),
        )


@dataclass(frozen=True)
class _Block:
    """Axes of one block, and what its attention is private to."""

    embed: Axis
    inner: Axis
    hidden: Axis
    heads: int
    kind: str

    def attention(self, name: str, layer: str, mode: int) -> tuple[Piece, ...]:
        """Pieces of a parameter of the attention."""
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

    def rest(self, name: str) -> tuple[Piece, ...]:
        """Pieces of a parameter of the norms or of the MLP."""
        if ".mlp.fc1." in name:
            axes: tuple[Axis, ...] = (self.hidden, self.embed)
        elif ".mlp.fc2." in name:
            axes = (self.embed, self.hidden)
        else:
            axes = (self.embed,)
        return (Piece(name, axes if name.endswith("weight") else axes[:1]),)


def _of_block(block: _Block, name: str, mode: int) -> tuple[Piece, ...]:
    found = _ATTENTION.fullmatch(name)
    return block.attention(name, found["layer"], mode) if found else block.rest(name)


class _Deit:
    def __init__(self, space: VitasDeitSpace, arch: VitasDeitArch, mode: int) -> None:
        self.mode = mode
        self.stem = f"patch{arch.patch_size}."
        self.embed = Axis(space.embed_dims, arch.embed_dim)
        self.blocks = [
            _Block(self.embed, _inner(space.qkv_dims, qkv), Axis(space.mlp_dims, mlp), heads, "")
            for heads, qkv, mlp in zip(arch.num_heads, arch.qkv_dim, arch.mlp_dim, strict=True)
        ]

    def __call__(self, name: str, ndim: int) -> tuple[Piece, ...]:
        if name.startswith("blocks."):
            return _of_block(self.blocks[int(name.split(".")[1])], name, self.mode)
        if name.startswith("patch_embed."):
            return (Piece(self.stem + name, (self.embed, *[None] * (ndim - 1))),)
        if name in ("cls_token", "pos_embed"):
            return (Piece(self.stem + name, (None, None, self.embed)),)
        return _of_classifier(name, ndim, self.embed)


class _Twins:
    def __init__(self, space: VitasTwinsSpace, arch: VitasTwinsArch, mode: int) -> None:
        self.mode = mode
        self.embeds = [
            Axis(stage.embed_dims, dim)
            for stage, dim in zip(space.stages, arch.embed_dim, strict=True)
        ]
        self.blocks = [
            [
                _Block(
                    embed,
                    _inner(stage.qkv_dims, qkv),
                    Axis(stage.mlp_dims, mlp),
                    heads,
                    f"{kind}.",
                )
                for kind, heads, qkv, mlp in blocks
            ]
            for stage, embed, blocks in zip(space.stages, self.embeds, arch.stages, strict=True)
        ]

    def __call__(self, name: str, ndim: int) -> tuple[Piece, ...]:
        room, *rest = name.split(".")
        if room == "blocks":
            return _of_block(self.blocks[int(rest[0])][int(rest[1])], name, self.mode)
        if room == "patch_embeds":
            stage = int(rest[0])
            before = self.embeds[stage - 1] if stage else None
            axes = (self.embeds[stage], before, None, None)[:ndim]
            return (Piece(name, axes),)
        if room == "pos_block":
            return (Piece(name, (self.embeds[int(rest[0])], *[None] * (ndim - 1))),)
        return _of_classifier(name, ndim, self.embeds[-1])


def _of_classifier(name: str, ndim: int, embed: Axis) -> tuple[Piece, ...]:
    """Of the final norm and the classifier."""
    if name.startswith("norm."):
        return (Piece(name, (embed,)),)
    return (Piece(name, (None, embed) if ndim == 2 else (None,)),)


def _inner(qkv_dims: tuple[int, ...], qkv: int) -> Axis:
    return Axis(tuple(dim // 3 for dim in qkv_dims), qkv // 3)
