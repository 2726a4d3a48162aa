"""AutoFormer spaces: one width for the net, heads and MLP ratio chosen per block.

Two families share this encoding. ``autoformer-tiny`` is the subnet space of ViT-Bench-101 and TVT:
plain ViT blocks whose heads split the embedding width. The ``autoformer-original-*`` spaces carry
the ranges of the AutoFormer paper (Chen et al., ICCV 2021) and its attention: 64 channels per head
and two-dimensional relative positions on keys and values.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, ClassVar

from tvtfast.spaces.base import Space
from tvtfast.spaces.constraints import Window
from tvtfast.spaces.encodings import take
from tvtfast.spaces.features import block_features
from tvtfast.spaces.options import ModelOptions
from tvtfast.spaces.plain import real, shown, whole
from tvtfast.spaces.skeletons import Skeleton
from tvtfast.spaces.slices import Axis, Genes, Layout, Piece, layer_pieces
from tvtfast.spaces.soundness import (
    WIDEST,
    check_count,
    check_counts,
    check_divides,
    check_length,
    first_not_searched,
    not_searched,
)
from tvtfast.spaces.steps import MLP, Classifier, Embedding, SelfAttention, Step
from tvtfast.spaces.variables import Condition, Variable
from tvtfast.spaces.vitas_slices import BlockSlices, classifier_pieces

ORIGINAL_HEAD_DIM = 64
MAX_RELATIVE_POSITION = 14
RELATIVE_TABLES = ("key_rows", "key_columns", "value_rows", "value_columns")
"""Parameters of the relative positions of a block, each ``[30, 64]``."""


@dataclass(frozen=True)
class AutoFormerArch:
    """Width of the net, depth, and per block the MLP ratio and the number of heads."""

    hidden_dim: int
    depth: int
    mlp_ratio: tuple[float, ...]
    num_heads: tuple[int, ...]


@dataclass(frozen=True)
class AutoFormerSpace(Space[AutoFormerArch]):
    """Ranges of an AutoFormer space.

    Args:
        name: Name in the registry.
        hidden_dims: Embedding widths.
        depths: Block counts, ascending and consecutive.
        mlp_ratios: Hidden width of a block's MLP over the embedding width.
        head_counts: Attention heads of a block.
        relative_position: Attention of the AutoFormer paper (64 channels per head, relative
            position tables) in place of heads that split the width.
    """

    name: str
    hidden_dims: tuple[int, ...]
    depths: tuple[int, ...]
    mlp_ratios: tuple[float, ...]
    head_counts: tuple[int, ...]
    relative_position: bool = False

    arch_type: ClassVar[type[Any]] = AutoFormerArch
    pools: ClassVar[tuple[str, ...]] = ("avg", "token")
    usual_sharing: ClassVar[str] = "ordinal"
    usual_qkv_mode: ClassVar[int] = 0

    @property
    def variables(self) -> tuple[Variable, ...]:
        """Width, depth, and heads and MLP ratio of every block; those of blocks that only deeper
        architectures have are conditional on the depth."""
        return (
            Variable("hidden_dim", self.hidden_dims),
            Variable("depth", self.depths),
            *(
                Variable(f"{decision}[{block}]", choices, self._condition(block))
                for block in range(max(self.depths))
                for decision, choices in (
                    ("num_heads", self.head_counts),
                    ("mlp_ratio", self.mlp_ratios),
                )
            ),
        )

    def _condition(self, block: int) -> Condition | None:
        deeper = tuple(depth for depth in self.depths if depth > block)
        return None if deeper == self.depths else Condition("depth", deeper)

    def _from_values(self, values: Sequence[Any]) -> AutoFormerArch:
        dim, depth, *blocks = values
        return AutoFormerArch(dim, depth, tuple(blocks[1::2][:depth]), tuple(blocks[::2][:depth]))

    def _to_values(self, arch: AutoFormerArch) -> Sequence[Any]:
        missing = max(self.depths) - arch.depth
        blocks = itertools.chain(
            zip(arch.num_heads, arch.mlp_ratio, strict=True),
            itertools.repeat((self.head_counts[0], self.mlp_ratios[0]), missing),
        )
        return (arch.hidden_dim, arch.depth, *itertools.chain.from_iterable(blocks))

    @property
    def size(self) -> int:
        per_block = len(self.mlp_ratios) * len(self.head_counts)
        return len(self.hidden_dims) * sum(int(per_block**depth) for depth in self.depths)

    def _all(self) -> Iterator[AutoFormerArch]:
        if not self.enumerable:
            return super()._all()
        return (
            AutoFormerArch(dim, depth, ratios, heads)
            for dim, depth in itertools.product(self.hidden_dims, self.depths)
            for ratios in itertools.product(self.mlp_ratios, repeat=depth)
            for heads in itertools.product(self.head_counts, repeat=depth)
        )

    def draw(self, rng: random.Random) -> AutoFormerArch:
        hidden_dim = rng.choice(self.hidden_dims)
        depth = rng.choice(self.depths)
        return AutoFormerArch(
            hidden_dim,
            depth,
            tuple(rng.choice(self.mlp_ratios) for _ in range(depth)),
            tuple(rng.choice(self.head_counts) for _ in range(depth)),
        )

    def validate(self, arch: AutoFormerArch) -> None:
        """Widths, depth and heads of at least 1, lists of one entry per block, MLPs of at least one
        channel, and heads that split the width unless they have 64 channels of their own."""
        dim = arch.hidden_dim
        check_count(self.name, "hidden_dim", dim)
        check_count(self.name, "depth", arch.depth)
        check_length(self.name, "mlp_ratio", arch.mlp_ratio, arch.depth)
        check_length(self.name, "num_heads", arch.num_heads, arch.depth)
        check_counts(self.name, "num_heads", arch.num_heads)
        if not self.relative_position and any(dim % heads for heads in set(arch.num_heads)):
            for block, heads in enumerate(arch.num_heads):
                check_divides(self.name, f"num_heads[{block}]", heads, "hidden_dim", dim)
        if not all(1 <= dim * ratio <= WIDEST for ratio in set(arch.mlp_ratio)):
            for block, ratio in enumerate(arch.mlp_ratio):
                if not 1 <= dim * ratio <= WIDEST:
                    raise ValueError(
                        f"{self.name}: mlp_ratio[{block}] is {shown(ratio)}; times the width {dim} "
                        f"it has to be 1 to {WIDEST:,} channels"
                    )

    def _outside(self, arch: AutoFormerArch) -> str:
        return (
            not_searched("hidden_dim", arch.hidden_dim, self.hidden_dims)
            or not_searched("depth", arch.depth, self.depths)
            or first_not_searched("mlp_ratio", arch.mlp_ratio, self.mlp_ratios)
            or first_not_searched("num_heads", arch.num_heads, self.head_counts)
        )

    def to_dict(self, arch: AutoFormerArch) -> dict[str, Any]:
        return {
            "hidden_dim": arch.hidden_dim,
            "depth": arch.depth,
            "mlp_ratio": list(map(float, arch.mlp_ratio)),
            "num_heads": list(arch.num_heads),
        }

    def from_dict(self, fields: Mapping[str, Any]) -> AutoFormerArch:
        """Accepts ViT-Bench-101's keys and those of the AutoFormer supernet (``layer_num``,
        ``embed_dim`` as one width per block)."""
        if "embed_dim" in fields:
            depth, mlp_ratio, num_heads, widths = take(
                self.name, fields, ("layer_num", "mlp_ratio", "num_heads", "embed_dim")
            )
            depth = whole(self.name, "layer_num", depth)
            if (
                not isinstance(widths, (list, tuple))
                or not widths
                or any(width != widths[0] for width in widths)
                or len(widths) != depth
            ):
                raise ValueError(
                    f"{self.name}: embed_dim is {shown(widths)}; give the same width "
                    f"{shown(depth)} times"
                )
            hidden_dim = widths[0]
        else:
            hidden_dim, depth, mlp_ratio, num_heads = take(
                self.name, fields, ("hidden_dim", "depth", "mlp_ratio", "num_heads")
            )
        for decision, values in (("mlp_ratio", mlp_ratio), ("num_heads", num_heads)):
            if not isinstance(values, (list, tuple)):
                raise ValueError(
                    f"{self.name}: {decision} is {shown(values)}; give a list, one per block"
                )
        return AutoFormerArch(
            whole(self.name, "hidden_dim", hidden_dim),
            whole(self.name, "depth", depth),
            tuple(real(self.name, "mlp_ratio", ratio) for ratio in mlp_ratio),
            tuple(whole(self.name, "num_heads", heads) for heads in num_heads),
        )

    def _mutate(self, arch: AutoFormerArch, rng: random.Random, prob: float) -> AutoFormerArch:
        return self._mutate_sized(arch, rng, prob, prob)

    def _mutate_sized(
        self, arch: AutoFormerArch, rng: random.Random, prob: float, size_prob: float
    ) -> AutoFormerArch:
        fresh = self.draw(rng)
        depth = fresh.depth if rng.random() < size_prob else arch.depth
        hidden_dim = fresh.hidden_dim if rng.random() < size_prob else arch.hidden_dim

        def per_block(values: tuple[Any, ...], choices: tuple[Any, ...]) -> tuple[Any, ...]:
            return tuple(
                rng.choice(choices) if block >= arch.depth or rng.random() < prob else values[block]
                for block in range(depth)
            )

        return AutoFormerArch(
            hidden_dim,
            depth,
            per_block(arch.mlp_ratio, self.mlp_ratios),
            per_block(arch.num_heads, self.head_counts),
        )

    def _crossover(
        self, first: AutoFormerArch, second: AutoFormerArch, rng: random.Random
    ) -> AutoFormerArch:
        depth = rng.choice((first.depth, second.depth))

        def per_block(a: tuple[Any, ...], b: tuple[Any, ...]) -> tuple[Any, ...]:
            return tuple(
                rng.choice([values[block] for values in (a, b) if block < len(values)])
                for block in range(depth)
            )

        return AutoFormerArch(
            rng.choice((first.hidden_dim, second.hidden_dim)),
            depth,
            per_block(first.mlp_ratio, second.mlp_ratio),
            per_block(first.num_heads, second.num_heads),
        )

    def _span(self, metric: str, options: ModelOptions) -> Window:
        def extreme(pick: Callable[[tuple[Any, ...]], Any]) -> int:
            depth = pick(self.depths)
            arch = AutoFormerArch(
                pick(self.hidden_dims),
                depth,
                (pick(self.mlp_ratios),) * depth,
                (pick(self.head_counts),) * depth,
            )
            return self._measure(metric, arch, options)

        return extreme(min), extreme(max)

    def _steps(self, arch: AutoFormerArch, options: ModelOptions) -> tuple[Step, ...]:
        first, blocks, last = _parts(self, arch.hidden_dim, options)
        steps: list[Step] = [first]
        for choice in zip(range(arch.depth), arch.num_heads, arch.mlp_ratio, strict=True):
            steps += blocks[choice]
        return (*steps, last)

    def _skeletons(self, options: ModelOptions) -> Iterator[Skeleton[AutoFormerArch]]:
        for dim, depth in itertools.product(self.hidden_dims, self.depths):
            first, last = self._ends(dim, options)
            slots: list[tuple[tuple[Any, Step], ...]] = []
            for block in range(depth):
                attentions = {
                    heads: self._block(block, dim, heads, self.mlp_ratios[0], first)[0]
                    for heads in self.head_counts
                }
                mlps = {
                    ratio: self._block(block, dim, self.head_counts[0], ratio, first)[1]
                    for ratio in self.mlp_ratios
                }
                slots += (tuple(attentions.items()), tuple(mlps.items()))
            yield Skeleton((first, last), tuple(slots), partial(_of_choices, dim, depth))

    def _ends(self, dim: int, options: ModelOptions) -> tuple[Embedding, Classifier]:
        patch, prefix = options.patch_size, options.num_prefix_tokens
        grid = options.patch_grid()
        tokens = grid[0] * grid[1] + prefix
        return (
            Embedding.of("patch_embed.", dim, patch, patch, options.in_chans, grid, prefix, tokens),
            Classifier.of("", dim, options.num_classes, options.distilled),
        )

    def _block(
        self, block: int, dim: int, heads: int, ratio: float, first: Embedding
    ) -> tuple[Step, Step]:
        return _block_steps(
            block, dim, heads, ratio, first.grid, first.prefix_tokens, self.relative_position
        )

    def _features(self, arch: AutoFormerArch) -> dict[str, float]:
        return block_features(
            width=(arch.hidden_dim,) * arch.depth,
            num_heads=arch.num_heads,
            mlp_ratio=arch.mlp_ratio,
        )

    def largest(self) -> Iterator[AutoFormerArch]:
        """One per number of heads, the largest last."""
        for heads in sorted(self.head_counts):
            depth = max(self.depths)
            widths = [dim for dim in self.hidden_dims if self.relative_position or dim % heads == 0]
            yield AutoFormerArch(
                max(widths), depth, (max(self.mlp_ratios),) * depth, (heads,) * depth
            )

    def genes(self, arch: AutoFormerArch) -> Genes:
        return ((arch.hidden_dim,), *zip(arch.num_heads, arch.mlp_ratio, strict=True))

    def decisions(self, arch: AutoFormerArch) -> dict[str, Any]:
        """Width, and heads and MLP ratio of every block."""
        return {
            "hidden_dim": arch.hidden_dim,
            **{f"num_heads[{block}]": heads for block, heads in enumerate(arch.num_heads)},
            **{f"mlp_ratio[{block}]": ratio for block, ratio in enumerate(arch.mlp_ratio)},
        }

    def decision_values(self) -> dict[str, tuple[Any, ...]]:
        blocks = range(max(self.depths))
        return {
            "hidden_dim": self.hidden_dims,
            **{f"num_heads[{block}]": self.head_counts for block in blocks},
            **{f"mlp_ratio[{block}]": self.mlp_ratios for block in blocks},
        }

    def layout(self, arch: AutoFormerArch, qkv_mode: int) -> Layout:
        """Weight entanglement: a width takes channels of the largest one, and q, k and v are cut
        each by itself, so that heads of 64 channels are heads of the largest. Heads that split the
        width are other groups of its channels for every number of them."""
        embed = _axis(self.hidden_dims, arch.hidden_dim)
        hidden = [int(dim * ratio) for dim in self.hidden_dims for ratio in self.mlp_ratios]
        inner = [ORIGINAL_HEAD_DIM * heads for heads in self.head_counts]
        layout = {
            **layer_pieces("patch_embed.proj", embed, None, None, None),
            **{name: (Piece(name, (None, None, embed)),) for name in ("cls_token", "pos_embed")},
            **classifier_pieces(embed),
        }
        for block, (heads, ratio) in enumerate(zip(arch.num_heads, arch.mlp_ratio, strict=True)):
            name = f"blocks.{block}."
            relative = self.relative_position
            slices = BlockSlices(
                embed,
                _axis(inner, ORIGINAL_HEAD_DIM * heads) if relative else embed,
                _axis(hidden, int(arch.hidden_dim * ratio)),
                heads,
            )
            layout |= slices.pieces(name, qkv_mode)
            if relative:
                tables = (f"{name}attn.{table}" for table in RELATIVE_TABLES)
                layout |= {table: (Piece(table, (None, None)),) for table in tables}
        return layout


def _axis(widths: Sequence[int], width: int) -> Axis:
    return Axis(tuple(sorted(set(widths))), width)


class _Blocks(dict[tuple[int, int, float], tuple[Step, Step]]):
    """Steps of blocks by number, heads and MLP ratio, made when they are first met.

    Args:
        make: Makes those of one block.
    """

    def __init__(self, make: Callable[[int, int, float], tuple[Step, Step]]) -> None:
        self._make = make

    def __missing__(self, choice: tuple[int, int, float]) -> tuple[Step, Step]:
        made = self[choice] = self._make(*choice)
        return made


@cache
def _parts(
    space: AutoFormerSpace, dim: int, options: ModelOptions
) -> tuple[Embedding, _Blocks, Classifier]:
    """What the architectures of one width are put together from."""
    first, last = space._ends(dim, options)
    make = partial(_block_of, space, dim, first)
    return first, _Blocks(make), last


def _block_of(
    space: AutoFormerSpace, dim: int, first: Embedding, block: int, heads: int, ratio: float
) -> tuple[Step, Step]:
    return space._block(block, dim, heads, ratio, first)


def _of_choices(dim: int, depth: int, choices: Sequence[Any]) -> AutoFormerArch:
    return AutoFormerArch(dim, depth, tuple(choices[1::2]), tuple(choices[::2]))


@cache
def _block_steps(
    block: int,
    dim: int,
    heads: int,
    ratio: float,
    grid: tuple[int, int],
    prefix: int,
    relative: bool,
) -> tuple[Step, Step]:
    name = f"blocks.{block}."
    head_dim, distances = (
        (ORIGINAL_HEAD_DIM, _RELATIVE_POSITIONS) if relative else (dim // heads, 0)
    )
    return (
        SelfAttention.of(name, dim, heads, head_dim, grid, prefix, distances),
        MLP.of(name, dim, int(dim * ratio), grid, prefix),
    )


_RELATIVE_POSITIONS = 2 * MAX_RELATIVE_POSITION + 2


SPACES = (
    AutoFormerSpace("autoformer-tiny", (192, 216, 240), (12, 13, 14), (3.5, 4.0), (3, 4)),
    AutoFormerSpace(
        "autoformer-original-tiny", (192, 216, 240), (12, 13, 14), (3.5, 4.0), (3, 4), True
    ),
    AutoFormerSpace(
        "autoformer-original-small", (320, 384, 448), (12, 13, 14), (3.0, 3.5, 4.0), (5, 6, 7), True
    ),
    AutoFormerSpace(
        "autoformer-original-base", (528, 576, 624), (14, 15, 16), (3.0, 3.5, 4.0), (8, 9, 10), True
    ),
)
