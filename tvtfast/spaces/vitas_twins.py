"""The Twins space of ViTAS: four stages of blocks with local or global attention.

Stages, windows and sub-sampling are those of Twins-SVT (Chu et al., NeurIPS 2021); what is searched
is what ViTAS searches over DeiT (Su et al., ECCV 2022): widths in tenths, heads, and depth by
identity blocks, in each stage. The choice lists of the paper are not published with its code; these
are our own, see docs/vitas.md.
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
from tvtfast.spaces.features import block_features, by_block
from tvtfast.spaces.options import ModelOptions
from tvtfast.spaces.plain import shown, whole
from tvtfast.spaces.slices import Axis, Genes, Layout, Piece, layer_pieces
from tvtfast.spaces.soundness import (
    WIDEST,
    check_counts,
    check_inner,
    first_not_searched,
    not_searched,
)
from tvtfast.spaces.steps import MLP, Classifier, Step
from tvtfast.spaces.twins_steps import (
    LocalAttention,
    PatchMerging,
    PositionConvolution,
    SubsampledAttention,
)
from tvtfast.spaces.variables import Condition, Variable
from tvtfast.spaces.vitas_deit import tenths
from tvtfast.spaces.vitas_genotypes import IDENTITY
from tvtfast.spaces.vitas_slices import BlockSlices, classifier_pieces, inner_axis

ATTENTIONS = ("local", "global")
SUBSAMPLING = (8, 4, 2, 1)
"""Stride of the convolution that global attention makes its keys with, by stage."""

WINDOW = 7
_STAGES = len(SUBSAMPLING)
_PER_BLOCK = ("attention", "num_heads", "qkv_dim", "mlp_dim")
_KEYS = ("embed_dim", "depth", *_PER_BLOCK)
_DECISIONS = ("attention", "qkv_dim", "mlp_dim")

Block = tuple[str, int, int, int]
"""Attention, heads, total width of q, k and v, width of the MLP."""


@dataclass(frozen=True)
class VitasTwinsArch:
    """Width and number of active blocks of each stage, and for all active blocks, stage after
    stage, the kind of attention, heads, total width of q, k and v, and width of the MLP."""

    embed_dim: tuple[int, ...]
    depth: tuple[int, ...]
    attention: tuple[str, ...]
    num_heads: tuple[int, ...]
    qkv_dim: tuple[int, ...]
    mlp_dim: tuple[int, ...]

    @property
    def stages(self) -> tuple[tuple[Block, ...], ...]:
        """The blocks of each stage."""
        columns = (self.attention, self.num_heads, self.qkv_dim, self.mlp_dim)
        blocks = iter(zip(*columns, strict=True))
        return tuple(tuple(itertools.islice(blocks, depth)) for depth in self.depth)


@dataclass(frozen=True)
class StageChoices:
    """What is searched in one stage.

    Args:
        embed_dims: Widths, ascending.
        slots: Blocks there is room for; at least one is active.
        attentions: Kinds of attention out of `ATTENTIONS`.
        head_counts: Attention heads of a block.
        qkv_dims: Total widths of q, k and v, ascending; a third of each is divisible by every head
            count.
        mlp_dims: Hidden widths of a block's MLP, ascending.
    """

    embed_dims: tuple[int, ...]
    slots: int
    attentions: tuple[str, ...]
    head_counts: tuple[int, ...]
    qkv_dims: tuple[int, ...]
    mlp_dims: tuple[int, ...]

    @property
    def per_block(self) -> tuple[tuple[Any, ...], ...]:
        """The choices of one block, in the order of `Block`."""
        return self.attentions, self.head_counts, self.qkv_dims, self.mlp_dims


@dataclass(frozen=True)
class VitasTwinsSpace(Space[VitasTwinsArch]):
    """Ranges of a ViTAS space over Twins-SVT.

    The first stage has patches of ``patch_size / 4`` pixels (4 where it is 16), every further one
    half the resolution. Windows are 7 x 7, or as large as a smaller grid. There are no class and
    distillation tokens: both classifiers read the mean over the last stage. `size` counts
    architectures in canonical form, the active blocks of each stage first.

    Args:
        name: Name in the registry.
        stages: The four stages.
    """

    name: str
    stages: tuple[StageChoices, ...]

    integer_genome: ClassVar[bool] = True
    arch_type: ClassVar[type[Any]] = VitasTwinsArch
    pools: ClassVar[tuple[str, ...]] = ("avg",)

    def __post_init__(self) -> None:
        if len(self.stages) != _STAGES:
            raise ValueError(f"{self.name}: {len(self.stages)} stages; Twins has {_STAGES}")

    @property
    def size(self) -> int:
        total = 1
        for stage in self.stages:
            per_block = 1
            for choices in stage.per_block:
                per_block *= len(choices)
            depths = range(1, stage.slots + 1)
            total *= len(stage.embed_dims) * sum(int(per_block**depth) for depth in depths)
        return total

    def _all(self) -> Iterator[VitasTwinsArch]:
        if not self.enumerable:
            return super()._all()
        stages = (
            [
                (dim, blocks)
                for dim in stage.embed_dims
                for depth in range(1, stage.slots + 1)
                for blocks in itertools.product(itertools.product(*stage.per_block), repeat=depth)
            ]
            for stage in self.stages
        )
        return (
            self._of_stages(*zip(*chosen, strict=True)) for chosen in itertools.product(*stages)
        )

    def draw(self, rng: random.Random) -> VitasTwinsArch:
        return self._with_depths(rng, [rng.randint(1, stage.slots) for stage in self.stages])

    def draw_active(self, rng: random.Random, identity_probability: float) -> VitasTwinsArch:
        """One architecture each of whose slots is an identity with a given probability, as ViTAS
        draws them; every other decision is uniform. At least one block of a stage is active."""
        active = [
            sum(rng.random() >= identity_probability for _ in range(stage.slots))
            for stage in self.stages
        ]
        return self._with_depths(rng, [max(1, depth) for depth in active])

    def _with_depths(self, rng: random.Random, depths: Sequence[int]) -> VitasTwinsArch:
        return self._of_stages(
            [rng.choice(stage.embed_dims) for stage in self.stages],
            [
                [_draw_block(stage, rng) for _ in range(depth)]
                for stage, depth in zip(self.stages, depths, strict=True)
            ],
        )

    def _of_stages(
        self, dims: Iterable[int], stages: Sequence[Sequence[Sequence[Any]]]
    ) -> VitasTwinsArch:
        columns = zip(*itertools.chain.from_iterable(stages), strict=True)
        return VitasTwinsArch(tuple(dims), tuple(map(len, stages)), *columns)

    def validate(self, arch: VitasTwinsArch) -> None:
        """Numbers of at least 1, four each of widths and depths, one entry per active block, kinds
        of attention that exist, and q, k and v that split into heads."""
        for decision in ("embed_dim", "depth"):
            values = getattr(arch, decision)
            if len(values) != _STAGES:
                raise ValueError(
                    f"{self.name}: {decision} is {shown(values)}; give one per stage, {_STAGES}"
                )
            check_counts(self.name, decision, values)
        blocks = sum(arch.depth)
        for decision in _PER_BLOCK:
            if len(getattr(arch, decision)) != blocks:
                raise ValueError(
                    f"{self.name}: {decision} has {len(getattr(arch, decision))} entries for "
                    f"{blocks} blocks; give one per active block, stage after stage"
                )
        for block, kind in enumerate(arch.attention):
            if kind not in ATTENTIONS:
                raise ValueError(
                    f"{self.name}: attention[{block}] is {shown(kind)}; allowed: "
                    f"{', '.join(ATTENTIONS)}"
                )
        check_counts(self.name, "num_heads", arch.num_heads)
        for decision in ("qkv_dim", "mlp_dim"):
            check_counts(self.name, decision, getattr(arch, decision), WIDEST)
        for block, (heads, qkv) in enumerate(zip(arch.num_heads, arch.qkv_dim, strict=True)):
            check_inner(self.name, f"qkv_dim[{block}]", heads, qkv)

    def _outside(self, arch: VitasTwinsArch) -> str:
        for number, (stage, dim, found) in enumerate(
            zip(self.stages, arch.embed_dim, arch.stages, strict=True)
        ):
            why = not_searched(f"embed_dim[{number}]", dim, stage.embed_dims)
            why = why or not_searched(f"depth[{number}]", len(found), range(1, stage.slots + 1))
            for decision, values, allowed in zip(
                _PER_BLOCK, zip(*found, strict=True), stage.per_block, strict=True
            ):
                why = why or first_not_searched(f"{decision} of stage {number}", values, allowed)
            if why:
                return why
        return ""

    def to_dict(self, arch: VitasTwinsArch) -> dict[str, Any]:
        return {decision: list(getattr(arch, decision)) for decision in _KEYS}

    def from_dict(self, fields: Mapping[str, Any]) -> VitasTwinsArch:
        lists = dict(zip(_KEYS, take(self.name, fields, _KEYS), strict=True))
        for decision, values in lists.items():
            if not isinstance(values, (list, tuple)):
                raise ValueError(f"{self.name}: {decision} is {shown(values)}; give a list")
            if decision != "attention":
                lists[decision] = tuple(whole(self.name, decision, value) for value in values)
        return VitasTwinsArch(**lists | {"attention": tuple(map(str, lists["attention"]))})

    @property
    def variables(self) -> tuple[Variable, ...]:
        """Width of every stage, and attention, heads, qkv width and MLP width of every slot; 0
        heads are an identity, which the first slot of a stage does not offer, and which decides
        nothing else. Several lists of choices stand for one architecture; `choices_of` gives the
        canonical one."""
        widths = (
            Variable(f"embed_dim[{number}]", stage.embed_dims)
            for number, stage in enumerate(self.stages)
        )
        return (*widths, *itertools.chain.from_iterable(map(self._variables_of, range(_STAGES))))

    def _variables_of(self, number: int) -> Iterator[Variable]:
        stage = self.stages[number]
        for slot in range(stage.slots):
            place = f"[{number}][{slot}]"
            active = Condition(f"num_heads{place}", stage.head_counts) if slot else None
            for decision, choices in zip(_PER_BLOCK, stage.per_block, strict=True):
                if decision == "num_heads":
                    missing = (IDENTITY,) if slot else ()
                    yield Variable(f"num_heads{place}", (*choices, *missing))
                else:
                    yield Variable(f"{decision}{place}", choices, active)

    def _from_values(self, values: Sequence[Any]) -> VitasTwinsArch:
        genes = iter(values[_STAGES:])
        stages = []
        for stage in self.stages:
            slots = [tuple(itertools.islice(genes, len(_PER_BLOCK))) for _ in range(stage.slots)]
            stages.append([block for block in slots if block[1] != IDENTITY])
        return self._of_stages(values[:_STAGES], stages)

    def _to_values(self, arch: VitasTwinsArch) -> Sequence[Any]:
        values: list[Any] = list(arch.embed_dim)
        for stage, blocks in zip(self.stages, arch.stages, strict=True):
            attention, _, qkv, mlp = (choices[0] for choices in stage.per_block)
            missing = stage.slots - len(blocks)
            for block in (*blocks, *[(attention, IDENTITY, qkv, mlp)] * missing):
                values += block
        return values

    def _mutate(self, arch: VitasTwinsArch, rng: random.Random, prob: float) -> VitasTwinsArch:
        return self._mutate_sized(arch, rng, prob, prob)

    def _mutate_sized(
        self, arch: VitasTwinsArch, rng: random.Random, prob: float, size_prob: float
    ) -> VitasTwinsArch:
        dims, stages = [], []
        for stage, dim, blocks in zip(self.stages, arch.embed_dim, arch.stages, strict=True):
            dims.append(rng.choice(stage.embed_dims) if rng.random() < size_prob else dim)
            depth = rng.randint(1, stage.slots) if rng.random() < size_prob else len(blocks)
            kept = [
                tuple(
                    rng.choice(choices) if rng.random() < prob else value
                    for value, choices in zip(block, stage.per_block, strict=True)
                )
                for block in blocks[:depth]
            ]
            fresh = [_draw_block(stage, rng) for _ in range(depth - len(kept))]
            stages.append([*kept, *fresh])
        return self._of_stages(dims, stages)

    def _crossover(
        self, first: VitasTwinsArch, second: VitasTwinsArch, rng: random.Random
    ) -> VitasTwinsArch:
        dims, stages = [], []
        for number in range(_STAGES):
            parents = (first.stages[number], second.stages[number])
            dims.append(rng.choice((first, second)).embed_dim[number])
            stages.append(
                [
                    [
                        rng.choice([blocks[place] for blocks in parents if place < len(blocks)])[
                            decision
                        ]
                        for decision in range(len(_PER_BLOCK))
                    ]
                    for place in range(len(rng.choice(parents)))
                ]
            )
        return self._of_stages(dims, stages)

    def _span(self, metric: str, options: ModelOptions) -> Window:
        def extremes(pick: int) -> list[int]:
            return [
                self._measure(metric, self._uniform(pick, kinds), options)
                for kinds in itertools.product(*(stage.attentions for stage in self.stages))
            ]

        return min(extremes(0)), max(extremes(-1))

    def _uniform(self, pick: int, kinds: Sequence[str]) -> VitasTwinsArch:
        """The smallest (``pick`` 0) or largest (-1) architecture with a kind per stage."""
        return self._of_stages(
            [stage.embed_dims[pick] for stage in self.stages],
            [
                [(kind, stage.head_counts[pick], stage.qkv_dims[pick], stage.mlp_dims[pick])]
                * (stage.slots if pick else 1)
                for stage, kind in zip(self.stages, kinds, strict=True)
            ],
        )

    def _features(self, arch: VitasTwinsArch) -> dict[str, float]:
        widths = by_block(arch.depth, arch.embed_dim)
        return block_features(
            width=widths,
            num_heads=arch.num_heads,
            mlp_ratio=tuple(mlp / dim for mlp, dim in zip(arch.mlp_dim, widths, strict=True)),
            qkv_dim=arch.qkv_dim,
            global_attention=tuple(float(kind == "global") for kind in arch.attention),
        )

    def _steps(self, arch: VitasTwinsArch, options: ModelOptions) -> tuple[Step, ...]:
        grids = stage_grids(options)
        steps: list[Step] = []
        before, width = options.img_size, options.in_chans
        for number, (dim, blocks, grid) in enumerate(
            zip(arch.embed_dim, arch.stages, grids, strict=True)
        ):
            side = first_patch(options) if number == 0 else 2
            steps.append(PatchMerging.of(f"patch_embeds.{number}.", width, dim, side, before, grid))
            for place, (kind, heads, qkv, mlp) in enumerate(blocks):
                name, head_dim = f"blocks.{number}.{place}.", qkv // 3 // heads
                if kind == "local":
                    steps.append(LocalAttention.of(name, dim, heads, head_dim, grid, window(grid)))
                else:
                    stride = subsampling(number, grid)
                    steps.append(SubsampledAttention.of(name, dim, heads, head_dim, grid, stride))
                steps.append(MLP.of(name, dim, mlp, grid, 0))
                if place == 0:
                    steps.append(PositionConvolution.of(f"pos_block.{number}.", dim, grid))
            before, width = grid, dim
        return (*steps, Classifier.of("", width, options.num_classes, options.distilled))

    def largest(self) -> Iterator[VitasTwinsArch]:
        kinds = max(len(stage.attentions) for stage in self.stages)
        heads = max(len(stage.head_counts) for stage in self.stages)
        for kind, head in itertools.product(range(kinds), range(heads)):
            yield self._of_stages(
                [stage.embed_dims[-1] for stage in self.stages],
                [
                    [
                        (
                            stage.attentions[kind % len(stage.attentions)],
                            stage.head_counts[head % len(stage.head_counts)],
                            stage.qkv_dims[-1],
                            stage.mlp_dims[-1],
                        )
                    ]
                    * stage.slots
                    for stage in self.stages
                ],
            )

    def genes(self, arch: VitasTwinsArch) -> Genes:
        stages = zip(arch.embed_dim, arch.stages, strict=True)
        return tuple(gene for dim, blocks in stages for gene in (("merging", dim), *blocks))

    def decisions(self, arch: VitasTwinsArch) -> dict[str, Any]:
        """Width of every stage, and of every active block attention with its heads (they have
        weights of their own together), qkv width and MLP width."""
        made: dict[str, Any] = {}
        for number, (dim, blocks) in enumerate(zip(arch.embed_dim, arch.stages, strict=True)):
            made[f"embed_dim[{number}]"] = dim
            for place, (kind, heads, qkv, mlp) in enumerate(blocks):
                values = ((kind, heads), qkv, mlp)
                for decision, value in zip(_DECISIONS, values, strict=True):
                    made[f"{decision}[{number}][{place}]"] = value
        return made

    def decision_values(self) -> dict[str, tuple[Any, ...]]:
        values: dict[str, tuple[Any, ...]] = {}
        for number, stage in enumerate(self.stages):
            values[f"embed_dim[{number}]"] = stage.embed_dims
            attentions = tuple(itertools.product(stage.attentions, stage.head_counts))
            allowed = (attentions, stage.qkv_dims, stage.mlp_dims)
            for decision, choices in zip(_DECISIONS, allowed, strict=True):
                for place in range(stage.slots):
                    values[f"{decision}[{number}][{place}]"] = choices
        return values

    def draw_deciding(self, rng: random.Random, name: str, value: Any) -> VitasTwinsArch:
        decision, *places = name.replace("]", "").split("[")
        number, stage = int(places[0]), self.stages[int(places[0])]
        arch = self.draw(rng)
        if decision == "embed_dim":
            dims = arch.embed_dim
            return replace(arch, embed_dim=(*dims[:number], value, *dims[number + 1 :]))
        place, stages = int(places[1]), [list(blocks) for blocks in arch.stages]
        depth = rng.randint(place + 1, stage.slots)
        blocks = [_draw_block(stage, rng) for _ in range(depth)]
        kind, heads, qkv, mlp = blocks[place]
        made = dict(zip(_DECISIONS, ((kind, heads), qkv, mlp), strict=True)) | {decision: value}
        (kind, heads), qkv, mlp = made.values()
        blocks[place] = (kind, heads, qkv, mlp)
        return self._of_stages(arch.embed_dim, [*stages[:number], blocks, *stages[number + 1 :]])

    def layout(self, arch: VitasTwinsArch, qkv_mode: int) -> Layout:
        layout: dict[str, tuple[Piece, ...]] = {}
        before, embed = None, Axis((), 0)
        for number, (stage, dim, blocks) in enumerate(
            zip(self.stages, arch.embed_dim, arch.stages, strict=True)
        ):
            embed = Axis(stage.embed_dims, dim)
            layout |= layer_pieces(f"patch_embeds.{number}.proj", embed, before, None, None)
            layout |= layer_pieces(f"patch_embeds.{number}.norm", embed)
            layout |= layer_pieces(f"pos_block.{number}.proj.0", embed, None, None, None)
            for place, (kind, heads, qkv, mlp) in enumerate(blocks):
                inner, hidden = inner_axis(stage.qkv_dims, qkv), Axis(stage.mlp_dims, mlp)
                block = BlockSlices(embed, inner, hidden, heads, f"{kind}.", kind == "global")
                layout |= block.pieces(f"blocks.{number}.{place}.", qkv_mode)
            before = embed
        return layout | classifier_pieces(embed)


def _draw_block(stage: StageChoices, rng: random.Random) -> tuple[Any, ...]:
    return tuple(rng.choice(choices) for choices in stage.per_block)


def first_patch(options: ModelOptions) -> int:
    """Side of the first stage's patches: a quarter of ``patch_size``."""
    return max(1, options.patch_size // 4)


def stage_grids(options: ModelOptions) -> tuple[tuple[int, int], ...]:
    """Token grid (height, width) of the four stages: the image in patches, then halved three times.

    Raises:
        ValueError: The image is too small for the last stage, or patches leave pixels out.
    """
    patch = first_patch(options)
    grids = [replace(options, patch_size=patch).patch_grid()]
    for _ in range(_STAGES - 1):
        height, width = grids[-1]
        grids.append((height // 2, width // 2))
    if min(grids[-1]) < 1:
        raise ValueError(
            f"images of {options.img_size} in patches of {patch} pixels are gone after three "
            "halvings; give a larger img_size or a smaller patch_size (the first stage has "
            "patches of a quarter of it)"
        )
    return tuple(grids)


def window(grid: tuple[int, int]) -> int:
    """Side of the windows of local attention on a grid."""
    return min(WINDOW, max(grid))


def subsampling(stage: int, grid: tuple[int, int]) -> int:
    """Stride that global attention of a stage sub-samples its keys with."""
    return min(SUBSAMPLING[stage], *grid)


def _stage(width: int, slots: int, heads: tuple[int, ...], attentions: tuple[str, ...]) -> Any:
    inner = tenths(width * 15 // 4)
    return StageChoices(tenths(width), slots, attentions, heads, inner, inner)


SPACES = (
    VitasTwinsSpace(
        "vitas-twins",
        (
            _stage(96, 4, (2, 3, 4), ATTENTIONS),
            _stage(192, 4, (4, 6, 8), ATTENTIONS),
            _stage(384, 16, (8, 12, 16), ATTENTIONS),
            _stage(768, 6, (16, 24, 32), ("global",)),
        ),
    ),
)
