"""The DeiT spaces of ViTAS: patch size, one width for the net, and blocks that may be missing.

An architecture holds its active blocks alone. That is the canonical form of identity shifting: a
genotype with identity blocks between active ones computes what the same active blocks compute side
by side, so both stand for one architecture, and the genes of identity blocks for nothing.
Source: Su et al., "ViTAS: Vision Transformer Architecture Search", ECCV 2022.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from tvtfast.spaces.base import Space
from tvtfast.spaces.constraints import Window
from tvtfast.spaces.encodings import take
from tvtfast.spaces.features import block_features
from tvtfast.spaces.options import SOFTMAX_SCALES, ModelOptions
from tvtfast.spaces.plain import shown, whole
from tvtfast.spaces.slices import Axis, Genes, Layout, Piece, layer_pieces
from tvtfast.spaces.soundness import (
    LARGEST,
    WIDEST,
    check_count,
    check_counts,
    check_inner,
    check_length,
    first_not_searched,
    not_searched,
)
from tvtfast.spaces.steps import MLP, Classifier, Embedding, SelfAttention, Step
from tvtfast.spaces.variables import Condition, Variable
from tvtfast.spaces.vitas_flops import original_flops
from tvtfast.spaces.vitas_genotypes import IDENTITY, GenotypeCodes
from tvtfast.spaces.vitas_slices import BlockSlices, classifier_pieces, inner_axis

_REFERENCE_PATCH = 16
_KEYS = ("patch_size", "embed_dim", "depth", "num_heads", "qkv_dim", "mlp_dim")


@dataclass(frozen=True)
class VitasDeitArch:
    """Patch size, width of the net, and per active block the number of heads, the total width of
    q, k and v, and the width of the MLP."""

    patch_size: int
    embed_dim: int
    num_heads: tuple[int, ...]
    qkv_dim: tuple[int, ...]
    mlp_dim: tuple[int, ...]

    @property
    def depth(self) -> int:
        """Number of active blocks."""
        return len(self.num_heads)


@dataclass(frozen=True)
class VitasDeitSpace(Space[VitasDeitArch]):
    """Ranges of a ViTAS space over DeiT.

    `size` counts architectures in canonical form: ``patches * widths * sum_d (heads * qkv *
    mlp)^d`` over the depths ``d``.

    Args:
        name: Name in the registry.
        patch_sizes: Sides of a patch in pixels where ``patch_size`` of the model options is 16;
            others scale them, rounded to whole pixels.
        embed_dims: Embedding widths, ascending.
        slots: Blocks that a genotype has room for.
        min_depth: Least number of active blocks.
        head_counts: Attention heads of a block, in the order of the published block ids.
        qkv_dims: Total widths of q, k and v, ascending; a third of each is divisible by every head
            count.
        mlp_dims: Hidden widths of a block's MLP, ascending.
    """

    name: str
    patch_sizes: tuple[int, ...]
    embed_dims: tuple[int, ...]
    slots: int
    min_depth: int
    head_counts: tuple[int, ...]
    qkv_dims: tuple[int, ...]
    mlp_dims: tuple[int, ...]

    integer_genome: ClassVar[bool] = True
    arch_type: ClassVar[type[Any]] = VitasDeitArch
    pools: ClassVar[tuple[str, ...]] = ("token", "avg")
    softmax_scales: ClassVar[tuple[str, ...]] = SOFTMAX_SCALES

    @property
    def size(self) -> int:
        per_block = len(self.head_counts) * len(self.qkv_dims) * len(self.mlp_dims)
        depths = range(self.min_depth, self.slots + 1)
        blocks = sum(int(per_block**depth) for depth in depths)
        return len(self.patch_sizes) * len(self.embed_dims) * blocks

    def _all(self) -> Iterator[VitasDeitArch]:
        if not self.enumerable:
            return super()._all()
        blocks = list(itertools.product(*(choices for _, choices in self._per_block)))
        return (
            VitasDeitArch(patch, dim, *zip(*chosen, strict=True))
            for patch, dim in itertools.product(self.patch_sizes, self.embed_dims)
            for depth in range(self.min_depth, self.slots + 1)
            for chosen in itertools.product(blocks, repeat=depth)
        )

    def draw(self, rng: random.Random) -> VitasDeitArch:
        return self._with_depth(rng, rng.randint(self.min_depth, self.slots))

    def draw_active(self, rng: random.Random, identity_probability: float) -> VitasDeitArch:
        """One architecture each of whose slots is an identity with a given probability, as ViTAS
        draws them; every other decision is uniform. No fewer than ``min_depth`` blocks are active.
        """
        active = sum(rng.random() >= identity_probability for _ in range(self.slots))
        return self._with_depth(rng, max(self.min_depth, active))

    def _with_depth(self, rng: random.Random, depth: int) -> VitasDeitArch:
        return VitasDeitArch(
            rng.choice(self.patch_sizes),
            rng.choice(self.embed_dims),
            *(
                tuple(rng.choice(choices) for _ in range(depth))
                for choices in (self.head_counts, self.qkv_dims, self.mlp_dims)
            ),
        )

    @property
    def _per_block(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        return (
            ("num_heads", self.head_counts),
            ("qkv_dim", self.qkv_dims),
            ("mlp_dim", self.mlp_dims),
        )

    def validate(self, arch: VitasDeitArch) -> None:
        """Numbers of at least 1, one entry per active block, and q, k and v that split into
        heads."""
        check_count(self.name, "patch_size", arch.patch_size)
        check_count(self.name, "embed_dim", arch.embed_dim)
        check_count(self.name, "depth", arch.depth)
        for decision, _ in self._per_block:
            values = getattr(arch, decision)
            check_length(self.name, decision, values, arch.depth)
            check_counts(
                self.name, decision, values, LARGEST if decision == "num_heads" else WIDEST
            )
        pairs = list(zip(arch.num_heads, arch.qkv_dim, strict=True))
        if any(qkv % (3 * heads) for heads, qkv in set(pairs)):
            for block, (heads, qkv) in enumerate(pairs):
                check_inner(self.name, f"qkv_dim[{block}]", heads, qkv)

    def _outside(self, arch: VitasDeitArch) -> str:
        depths = range(self.min_depth, self.slots + 1)
        whys = (
            not_searched("patch_size", arch.patch_size, self.patch_sizes),
            not_searched("embed_dim", arch.embed_dim, self.embed_dims),
            not_searched("depth", arch.depth, depths),
            *(
                first_not_searched(decision, getattr(arch, decision), allowed)
                for decision, allowed in self._per_block
            ),
        )
        return next(filter(None, whys), "")

    def to_dict(self, arch: VitasDeitArch) -> dict[str, Any]:
        return {
            "patch_size": arch.patch_size,
            "embed_dim": arch.embed_dim,
            "depth": arch.depth,
            **{decision: list(getattr(arch, decision)) for decision, _ in self._per_block},
        }

    def from_dict(self, fields: Mapping[str, Any]) -> VitasDeitArch:
        """Accepts blocks of 0 heads: identities, whose other entries count for nothing."""
        patch, dim, depth, *per_block = take(self.name, fields, _KEYS)
        for (decision, _), values in zip(self._per_block, per_block, strict=True):
            if not isinstance(values, (list, tuple)) or len(values) != len(per_block[0]):
                raise ValueError(
                    f"{self.name}: {decision} is {shown(values)}; give a list, one entry per block"
                )
        arch = self._canonical(
            whole(self.name, "patch_size", patch),
            whole(self.name, "embed_dim", dim),
            zip(*per_block, strict=True),
        )
        if whole(self.name, "depth", depth) != arch.depth:
            raise ValueError(
                f"{self.name}: depth is {shown(depth)} and {arch.depth} blocks are active; depth "
                "counts the active ones"
            )
        return arch

    def _canonical(
        self, patch: int, dim: int, blocks: Iterable[tuple[Any, Any, Any]]
    ) -> VitasDeitArch:
        active = [
            tuple(
                whole(self.name, decision, value)
                for (decision, _), value in zip(self._per_block, block, strict=True)
            )
            for block in blocks
            if whole(self.name, "num_heads", block[0]) != IDENTITY
        ]
        if not active:
            raise ValueError(f"{self.name}: all blocks are identities; one has to be active")
        heads, qkv, mlp = zip(*active, strict=True)
        return VitasDeitArch(patch, dim, heads, qkv, mlp)

    def _parse(self, encoded: Any) -> VitasDeitArch:
        if isinstance(encoded, str) and not encoded.lstrip().startswith("{"):
            return self.from_genotype(encoded)
        if isinstance(encoded, (list, tuple)):
            return self.from_genotype(encoded)
        return super()._parse(encoded)

    def from_genotype(self, genotype: str | Sequence[int]) -> VitasDeitArch:
        """The architecture of a published integer list, see `GenotypeCodes`.

        Raises:
            ValueError: Not that many integers, or one out of range.
        """
        return self._canonical(*self._codes.read(genotype))

    def genotype(self, arch: VitasDeitArch | Mapping[str, Any] | str) -> tuple[int, ...]:
        """The published integer list in canonical form: active blocks first, then identities, whose
        width ids are 0.

        Raises:
            ValueError: An architecture that the space does not search has no such list.
        """
        decoded = self.check_inside(arch)
        blocks = zip(decoded.num_heads, decoded.qkv_dim, decoded.mlp_dim, strict=True)
        return self._codes.write(decoded.patch_size, decoded.embed_dim, blocks)

    @property
    def _codes(self) -> GenotypeCodes:
        return GenotypeCodes(
            self.name,
            self.patch_sizes,
            self.embed_dims,
            self.head_counts,
            self.qkv_dims,
            self.mlp_dims,
            self.slots,
        )

    @property
    def variables(self) -> tuple[Variable, ...]:
        """Patch size, width, and heads, qkv width and MLP width of every slot; 0 heads are an
        identity, which the first ``min_depth`` slots do not offer and whose widths are undecided.
        Several lists of choices stand for one architecture; `choices_of` gives the canonical
        one."""
        return (
            Variable("patch_size", self.patch_sizes),
            Variable("embed_dim", self.embed_dims),
            *(variable for slot in range(self.slots) for variable in self._variables_of(slot)),
        )

    def _variables_of(self, slot: int) -> Iterator[Variable]:
        heads, missing = f"num_heads[{slot}]", slot >= self.min_depth
        active = Condition(heads, self.head_counts) if missing else None
        yield Variable(heads, (*self.head_counts, *((IDENTITY,) if missing else ())))
        yield Variable(f"qkv_dim[{slot}]", self.qkv_dims, active)
        yield Variable(f"mlp_dim[{slot}]", self.mlp_dims, active)

    def _from_values(self, values: Sequence[Any]) -> VitasDeitArch:
        patch, dim, *genes = values
        return self._canonical(patch, dim, zip(genes[::3], genes[1::3], genes[2::3], strict=True))

    def _to_values(self, arch: VitasDeitArch) -> Sequence[Any]:
        blocks = list(zip(arch.num_heads, arch.qkv_dim, arch.mlp_dim, strict=True))
        blocks += [(IDENTITY, self.qkv_dims[0], self.mlp_dims[0])] * (self.slots - arch.depth)
        return (arch.patch_size, arch.embed_dim, *(value for block in blocks for value in block))

    def _mutate(self, arch: VitasDeitArch, rng: random.Random, prob: float) -> VitasDeitArch:
        return self._mutate_sized(arch, rng, prob, prob)

    def _mutate_sized(
        self, arch: VitasDeitArch, rng: random.Random, prob: float, size_prob: float
    ) -> VitasDeitArch:
        fresh = self.draw(rng)

        def once(decision: str) -> Any:
            return getattr(fresh if rng.random() < size_prob else arch, decision)

        patch, dim, depth = once("patch_size"), once("embed_dim"), once("depth")
        per_block = (
            tuple(
                rng.choice(choices)
                if block >= arch.depth or rng.random() < prob
                else getattr(arch, decision)[block]
                for block in range(depth)
            )
            for decision, choices in self._per_block
        )
        return VitasDeitArch(patch, dim, *per_block)

    def _crossover(
        self, first: VitasDeitArch, second: VitasDeitArch, rng: random.Random
    ) -> VitasDeitArch:
        depth = rng.choice((first.depth, second.depth))
        per_block = (
            tuple(
                getattr(
                    rng.choice([parent for parent in (first, second) if block < parent.depth]),
                    decision,
                )[block]
                for block in range(depth)
            )
            for decision, _ in self._per_block
        )
        return VitasDeitArch(
            rng.choice((first.patch_size, second.patch_size)),
            rng.choice((first.embed_dim, second.embed_dim)),
            *per_block,
        )

    def _span(self, metric: str, options: ModelOptions) -> Window:
        def extremes(pick: int, depth: int) -> list[int]:
            widths = ((dims[pick],) * depth for _, dims in self._per_block)
            heads, qkv, mlp = widths
            return [
                self._measure(
                    metric, VitasDeitArch(patch, self.embed_dims[pick], heads, qkv, mlp), options
                )
                for patch in self.patch_sizes
            ]

        return min(extremes(0, self.min_depth)), max(extremes(-1, self.slots))

    def patch_pixels(self, patch_size: int, options: ModelOptions) -> int:
        """Side of a patch: ``patch_size`` times ``options.patch_size / 16``, rounded.

        Raises:
            ValueError: It is larger than the image, or ``options.patch_size`` leaves pixels out.
        """
        options.patch_grid()
        side = max(1, round(patch_size * options.patch_size / _REFERENCE_PATCH))
        if min(options.img_size) < side:
            raise ValueError(
                f"{self.name}: patches of {side} pixels on images of {options.img_size}; "
                "patch_size of the model options is the side that a searched 16 stands for: give "
                "a smaller one"
            )
        return side

    def _features(self, arch: VitasDeitArch) -> dict[str, float]:
        return block_features(
            width=(arch.embed_dim,) * arch.depth,
            num_heads=arch.num_heads,
            mlp_ratio=tuple(mlp / arch.embed_dim for mlp in arch.mlp_dim),
            qkv_dim=arch.qkv_dim,
        ) | {"patch_size": float(arch.patch_size)}

    def _steps(self, arch: VitasDeitArch, options: ModelOptions) -> tuple[Step, ...]:
        side, prefix = self.patch_pixels(arch.patch_size, options), options.num_prefix_tokens
        grid = (options.img_size[0] // side, options.img_size[1] // side)
        dim = arch.embed_dim
        tokens = grid[0] * grid[1] + prefix
        steps: list[Step] = [
            Embedding.of("patch_embed.", dim, side, side, options.in_chans, grid, prefix, tokens)
        ]
        blocks = zip(arch.num_heads, arch.qkv_dim, arch.mlp_dim, strict=True)
        for block, (heads, qkv, mlp) in enumerate(blocks):
            name = f"blocks.{block}."
            steps += (
                SelfAttention.of(name, dim, heads, qkv // 3 // heads, grid, prefix),
                MLP.of(name, dim, mlp, grid, prefix),
            )
        return (*steps, Classifier.of("", dim, options.num_classes, options.distilled))

    def largest(self) -> Iterator[VitasDeitArch]:
        widths = (self.qkv_dims[-1], self.mlp_dims[-1])
        for number in range(max(len(self.patch_sizes), len(self.head_counts))):
            heads = self.head_counts[number % len(self.head_counts)]
            yield VitasDeitArch(
                self.patch_sizes[number % len(self.patch_sizes)],
                self.embed_dims[-1],
                *((value,) * self.slots for value in (heads, *widths)),
            )

    def genes(self, arch: VitasDeitArch) -> Genes:
        blocks = zip(arch.num_heads, arch.qkv_dim, arch.mlp_dim, strict=True)
        return ((arch.patch_size, arch.embed_dim), *blocks)

    def decisions(self, arch: VitasDeitArch) -> dict[str, Any]:
        """Patch size, width, and heads, qkv width and MLP width of every active block."""
        return {
            "patch_size": arch.patch_size,
            "embed_dim": arch.embed_dim,
            **{
                f"{decision}[{block}]": value
                for decision, _ in self._per_block
                for block, value in enumerate(getattr(arch, decision))
            },
        }

    def decision_values(self) -> dict[str, tuple[Any, ...]]:
        return {
            "patch_size": self.patch_sizes,
            "embed_dim": self.embed_dims,
            **{
                f"{decision}[{slot}]": choices
                for decision, choices in self._per_block
                for slot in range(self.slots)
            },
        }

    def draw_deciding(self, rng: random.Random, name: str, value: Any) -> VitasDeitArch:
        decision, _, place = name.partition("[")
        if not place:
            return replace(self.draw(rng), **{decision: value})
        block = int(place.rstrip("]"))
        depth = rng.randint(max(self.min_depth, block + 1), self.slots)
        return self._deciding(self._with_depth(rng, depth), decision, block, value)

    def _deciding(
        self, arch: VitasDeitArch, decision: str, block: int, value: int
    ) -> VitasDeitArch:
        values = getattr(arch, decision)
        changed: Any = {decision: (*values[:block], value, *values[block + 1 :])}
        return replace(arch, **changed)

    def layout(self, arch: VitasDeitArch, qkv_mode: int) -> Layout:
        return self._layout(arch, qkv_mode, fused=False)

    def fused_layout(self, arch: VitasDeitArch, qkv_mode: int) -> Layout:
        return self._layout(arch, qkv_mode, fused=True)

    def _layout(self, arch: VitasDeitArch, qkv_mode: int, *, fused: bool) -> Layout:
        stem, embed = f"patch{arch.patch_size}.", Axis(self.embed_dims, arch.embed_dim)
        layout: dict[str, tuple[Piece, ...]] = {
            name: (Piece(f"{stem}{name}", (None, None, embed)),)
            for name in ("cls_token", "pos_embed")
        }
        patches = (embed, None, None, None)
        layout |= layer_pieces("patch_embed.proj", *patches, key=f"{stem}patch_embed.proj")
        blocks = zip(arch.num_heads, arch.qkv_dim, arch.mlp_dim, strict=True)
        for place, (heads, qkv, mlp) in enumerate(blocks):
            inner, hidden = inner_axis(self.qkv_dims, qkv), Axis(self.mlp_dims, mlp)
            block = BlockSlices(embed, inner, hidden, heads)
            layout |= block.pieces(f"blocks.{place}.", qkv_mode, fused)
        return layout | classifier_pieces(embed)

    def original_flops(
        self,
        arch: VitasDeitArch | Mapping[str, Any] | str,
        img_size: int = 224,
        classes: int = 1000,
    ) -> int:
        """Cost by the counter of the released code, see `original_flops`."""
        options = ModelOptions.of(img_size=img_size, num_classes=classes)
        return self.published_flops_of(self.decode(arch), options)

    def published_flops_of(self, arch: VitasDeitArch, options: ModelOptions) -> int:
        """`original_flops` of an architecture that was decoded already, with any model options.

        Raises:
            ValueError: Images that are not square.
        """
        height, width = options.img_size
        if height != width:
            raise ValueError(
                f"img_size is {height} x {width}: the released counter knows square images; give "
                "one side, or limit flops"
            )
        blocks = list(zip(arch.qkv_dim, arch.mlp_dim, strict=True))
        side = self.patch_pixels(arch.patch_size, options)
        return original_flops(
            side, arch.embed_dim, blocks, img_size=height, classes=options.num_classes
        )


def tenths(largest: int) -> tuple[int, ...]:
    """A tenth to ten tenths of a width, rounded, as ViTAS scales widths."""
    return tuple(round(largest * tenth / 10) for tenth in range(1, 11))


_HEADS = (3, 6, 12, 16)

SPACES = (
    VitasDeitSpace(
        "vitas-deit", (14, 16, 32), tenths(384), 16, 1, _HEADS, tenths(1440), tenths(1440)
    ),
    VitasDeitSpace(
        "vitas-deit-large", (14, 16, 32), tenths(768), 13, 13, _HEADS, tenths(2880), tenths(2880)
    ),
)
