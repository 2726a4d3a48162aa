"""The integer lists in which ViTAS publishes architectures of its DeiT spaces.

A list is ``[patch id, block id of every slot, 0, 0, width id, (qkv id, mlp id) of every slot]``.
Source: Su et al., "ViTAS: Vision Transformer Architecture Search", ECCV 2022, the released
configurations of its first version.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tvtfast.spaces.plain import whole

IDENTITY = 0
"""The head count of a block that is not there."""

Block = tuple[int, int, int]
"""Heads, and widths of q, k and v together and of the MLP."""


@dataclass(frozen=True)
class GenotypeCodes:
    """What the ids of a genotype stand for.

    Attributes:
        space: Name of the space, for messages.
        patch_sizes: By patch id, in pixels.
        embed_dims: By width id.
        head_counts: By block id; the id after the last is an identity.
        qkv_dims: By qkv id.
        mlp_dims: By MLP id.
        slots: Blocks and identities of a net.
    """

    space: str
    patch_sizes: tuple[int, ...]
    embed_dims: tuple[int, ...]
    head_counts: tuple[int, ...]
    qkv_dims: tuple[int, ...]
    mlp_dims: tuple[int, ...]
    slots: int

    def read(self, genotype: str | Sequence[int]) -> tuple[int, int, list[Block]]:
        """Patch size, width and the block of every slot, identities (`IDENTITY` heads) included.

        A block id past those of the head counts is an identity; it has two width ids all the same.

        Raises:
            ValueError: Not that many integers, or one out of range.
        """
        ids = [
            whole(self.space, "an entry of the genotype", entry) for entry in self._split(genotype)
        ]
        slots = self.slots
        if len(ids) != 4 + 3 * slots:
            raise ValueError(
                f"{self.space}: a genotype of {len(ids)} integers; it has {4 + 3 * slots}: "
                f"patch, {slots} blocks, 0, 0, width, {slots} times qkv and MLP"
            )
        heads = self._pick("block", ids[1 : 1 + slots], (*self.head_counts, IDENTITY))
        _, _, width, *widths = ids[1 + slots :]
        (patch,) = self._pick("patch", ids[:1], self.patch_sizes)
        (dim,) = self._pick("width", [width], self.embed_dims)
        qkv = self._pick("qkv", widths[::2], self.qkv_dims)
        mlp = self._pick("mlp", widths[1::2], self.mlp_dims)
        return patch, dim, list(zip(heads, qkv, mlp, strict=True))

    def write(self, patch: int, dim: int, blocks: Iterable[Block]) -> tuple[int, ...]:
        """The canonical list: active blocks first, then identities, whose width ids are 0."""
        active = list(blocks)
        missing = self.slots - len(active)
        widths = [
            number
            for _, qkv, mlp in active
            for number in (self.qkv_dims.index(qkv), self.mlp_dims.index(mlp))
        ]
        return (
            self.patch_sizes.index(patch),
            *(self.head_counts.index(heads) for heads, _, _ in active),
            *([len(self.head_counts)] * missing),
            0,
            0,
            self.embed_dims.index(dim),
            *widths,
            *([0, 0] * missing),
        )

    def _split(self, genotype: str | Sequence[int]) -> Sequence[Any]:
        if not isinstance(genotype, str):
            return genotype
        entries = genotype.split()
        if not all(entry.isdecimal() for entry in entries):
            raise ValueError(
                f"{self.space}: {genotype[:80]!r} is neither a JSON object nor a genotype of "
                "integers"
            )
        return list(map(int, entries))

    def _pick(self, gene: str, ids: Sequence[int], choices: tuple[int, ...]) -> list[int]:
        wrong = [number for number in ids if not 0 <= number < len(choices)]
        if wrong:
            raise ValueError(
                f"{self.space}: {gene} id {wrong[0]} in the genotype; allowed: 0 to "
                f"{len(choices) - 1}"
            )
        return [choices[number] for number in ids]
