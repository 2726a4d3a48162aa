"""The As-ViT space: topologies of four-stage windowed Vision Transformers, and their grown forms.

Source: Chen et al., "Auto-scaling Vision Transformers without Training", ICLR 2022.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeAlias

from tvtfast.spaces.base import Space
from tvtfast.spaces.constraints import Window
from tvtfast.spaces.encodings import take
from tvtfast.spaces.features import block_features, by_block
from tvtfast.spaces.options import ModelOptions
from tvtfast.spaces.plain import shown, whole
from tvtfast.spaces.soundness import check_count, check_counts, not_searched
from tvtfast.spaces.variables import Variable

STRIDE = 4
"""Pixels between two tokens of the first stage, in both directions."""

_MERGED = 2
"""Stride of the merging layers."""

SEED_WIDTH = 32
"""Width of the first stage of every topology."""

_SEED_DEPTHS = (1, 1, 1, 1)
_MAX_WIDTH = 1024
_DECISIONS = ("kernels", "splits", "expansions", "heads")
_SHORT = "K,S,E|K,S,E|K,S,E|K,S,E|heads"
_LONG = "K,S,E,L|K,S,E,L|K,S,E,L|K,S,E,L|heads,width"

Four: TypeAlias = tuple[int, int, int, int]
"""One number per stage."""


@dataclass(frozen=True)
class AsViTArch:
    """A topology, and how far it has grown.

    ``str(arch)`` is the published string: ``K,S,E|K,S,E|K,S,E|K,S,E|heads`` for a topology, and
    ``K,S,E,L|...|heads,width`` for what has grown from one.

    Args:
        kernels: Side of the patch embedding, then of the three merging layers.
        splits: Each stage attends inside ``split x split`` windows; 1 is global attention.
        expansions: Hidden width of the MLPs of a stage over its width.
        heads: Attention heads of the last stage; half as many in each stage before.
        depths: Blocks of each stage.
        width: Width of the first stage; doubles from stage to stage, up to 1024.
    """

    kernels: Four
    splits: Four
    expansions: Four
    heads: int
    depths: Four = _SEED_DEPTHS
    width: int = SEED_WIDTH

    @property
    def widths(self) -> Four:
        """Width of each stage."""
        first, second, third, last = (min(_MAX_WIDTH, self.width << stage) for stage in range(4))
        return first, second, third, last

    @property
    def stage_heads(self) -> Four:
        """Attention heads of each stage."""
        return self.heads // 8, self.heads // 4, self.heads // 2, self.heads

    @property
    def topology(self) -> AsViTArch:
        """The architecture it has grown from; itself for a topology."""
        return AsViTArch(self.kernels, self.splits, self.expansions, self.heads)

    def to_string(self, *, extended: bool) -> str:
        """The published string, short or with depths and width.

        Raises:
            ValueError: The short form of a grown architecture, which would lose its size.
        """
        if not extended and self != self.topology:
            raise ValueError(
                f"{self} has depths or width of its own, which the form {_SHORT} cannot say; "
                "pass extended=True"
            )
        columns = [self.kernels, self.splits, self.expansions]
        last: tuple[int, ...] = (self.heads,)
        if extended:
            columns.append(self.depths)
            last = (self.heads, self.width)
        return "|".join(",".join(map(str, group)) for group in (*zip(*columns, strict=True), last))

    def __str__(self) -> str:
        return self.to_string(extended=self != self.topology)


@dataclass(frozen=True)
class AsViTSpace(Space[AsViTArch]):
    """4,556,250 topologies: kernel, window split and MLP expansion per stage, and a head count.

    Depths and width are no decisions: a topology has one block per stage and width 32. Grown
    architectures are architectures of the space, so they can be decoded, counted, built and
    varied (which keeps their depths and width), but are not among those that are drawn, and
    `choices_of` gives the choices of their topology.

    The published strings (see `AsViTArch`) stand for architectures wherever JSON does.
    ``patch_size`` plays no part; kernel and stride of the patch embedding are the space's own.
    """

    name: str = "asvit"

    arch_type: ClassVar[type[Any]] = AsViTArch
    pools: ClassVar[tuple[str, ...]] = ("avg",)
    kernel_choices: ClassVar[tuple[tuple[int, ...], ...]] = ((4, 5, 6, 7, 8), *((2, 3, 4),) * 3)
    split_choices: ClassVar[tuple[tuple[int, ...], ...]] = ((2, 4, 8), (1, 2, 4), (1, 2), (1,))
    expansion_choices: ClassVar[tuple[tuple[int, ...], ...]] = ((2, 3, 4, 5, 6),) * 4
    head_choices: ClassVar[tuple[int, ...]] = (16, 32, 64)

    @property
    def variables(self) -> tuple[Variable, ...]:
        return (
            *_per_stage("kernel", self.kernel_choices),
            *_per_stage("split", self.split_choices[:3]),
            *_per_stage("expansion", self.expansion_choices),
            Variable("heads", self.head_choices),
        )

    def _from_values(self, values: Sequence[Any]) -> AsViTArch:
        *per_stage, heads = values
        kernels, splits, expansions = per_stage[:4], per_stage[4:7], per_stage[7:]
        return AsViTArch(_four(kernels), _four((*splits, 1)), _four(expansions), heads)

    def _to_values(self, arch: AsViTArch) -> Sequence[Any]:
        return (*arch.kernels, *arch.splits[:3], *arch.expansions, arch.heads)

    @property
    def size(self) -> int:
        return math.prod(len(variable.choices) for variable in self.variables)

    def draw(self, rng: random.Random) -> AsViTArch:
        return self._from_values([rng.choice(variable.choices) for variable in self.variables])

    def check_form(self, options: ModelOptions) -> None:
        super().check_form(options)
        if options.norm_eps is not None:
            raise ValueError(
                f"{self.name}: norm_eps is {options.norm_eps}, and the norms of its models have "
                "their own; leave it out"
            )

    def validate(self, arch: AsViTArch) -> None:
        """Four numbers of at least 1 each, kernels of at least their stride, heads that can be
        halved three times, and a channel for each of them in the first stage."""
        for name in (*_DECISIONS[:3], "depths"):
            self._four(name, getattr(arch, name))
            check_counts(self.name, name, getattr(arch, name))
        check_count(self.name, "kernels[0]", arch.kernels[0], least=STRIDE)
        check_counts(self.name, "kernels", arch.kernels, least=_MERGED)
        check_count(self.name, "width", arch.width)
        if arch.heads < 8 or arch.heads % 8:
            raise ValueError(
                f"{self.name}: heads is {shown(arch.heads)}; each stage before the last has half "
                "as many: give a multiple of 8"
            )
        if arch.width < arch.stage_heads[0]:
            raise ValueError(
                f"{self.name}: width is {arch.width}; {arch.heads} heads in the last stage are "
                f"{arch.stage_heads[0]} in the first, which need a channel each"
            )

    def _outside(self, arch: AsViTArch) -> str:
        whys = (
            not_searched(f"{decision}[{stage}]", value, choices)
            for decision, allowed in zip(
                _DECISIONS[:3],
                (self.kernel_choices, self.split_choices, self.expansion_choices),
                strict=True,
            )
            for stage, (value, choices) in enumerate(
                zip(getattr(arch, decision), allowed, strict=True)
            )
        )
        return next(filter(None, whys), "") or not_searched("heads", arch.heads, self.head_choices)

    def to_dict(self, arch: AsViTArch) -> dict[str, Any]:
        return {
            "kernels": list(arch.kernels),
            "splits": list(arch.splits),
            "expansions": list(arch.expansions),
            "heads": arch.heads,
            "depths": list(arch.depths),
            "width": arch.width,
        }

    def from_dict(self, fields: Mapping[str, Any]) -> AsViTArch:
        """``depths`` and ``width`` may be left out: one block per stage, width 32."""
        *lists, heads, depths, width = take(
            self.name,
            {"depths": _SEED_DEPTHS, "width": SEED_WIDTH, **fields},
            (*_DECISIONS, "depths", "width"),
        )
        kernels, splits, expansions, depths = (
            self._four(name, values)
            for name, values in zip((*_DECISIONS[:3], "depths"), (*lists, depths), strict=True)
        )
        return AsViTArch(
            kernels,
            splits,
            expansions,
            whole(self.name, "heads", heads),
            depths,
            whole(self.name, "width", width),
        )

    def _four(self, name: str, values: Any) -> Four:
        if not isinstance(values, (list, tuple)) or len(values) != 4:
            raise ValueError(f"{self.name}: {name} is {shown(values)}; give one per stage, four")
        return _four([whole(self.name, name, value) for value in values])

    def _parse(self, encoded: Any) -> AsViTArch:
        if isinstance(encoded, str) and not encoded.lstrip().startswith("{"):
            return self._from_string(encoded)
        return super()._parse(encoded)

    def _from_string(self, text: str) -> AsViTArch:
        try:
            groups = [[int(number) for number in group.split(",")] for group in text.split("|")]
        except ValueError:
            groups = []
        lengths = [len(group) for group in groups]
        if lengths not in ([3] * 4 + [1], [4] * 4 + [2]):
            raise ValueError(
                f"{self.name}: {text[:80]!r} is no architecture; give {_SHORT}, {_LONG}, or JSON"
            )
        *stages, last = groups
        kernels, splits, expansions, *depths = map(_four, zip(*stages, strict=True))
        topology = AsViTArch(kernels, splits, expansions, last[0])
        return replace(topology, depths=depths[0], width=last[1]) if depths else topology

    def _mutate(self, arch: AsViTArch, rng: random.Random, prob: float) -> AsViTArch:
        values = [
            rng.choice(variable.choices) if rng.random() < prob else value
            for variable, value in zip(self.variables, self._to_values(arch), strict=True)
        ]
        return self._regrown(values, arch)

    def _crossover(self, first: AsViTArch, second: AsViTArch, rng: random.Random) -> AsViTArch:
        """Depths and width are those of the first parent."""
        parents = zip(self._to_values(first), self._to_values(second), strict=True)
        return self._regrown([rng.choice(pair) for pair in parents], first)

    def _regrown(self, values: Sequence[Any], size: AsViTArch) -> AsViTArch:
        """The topology of ``values`` at another's depths and width (wide enough for its heads)."""
        topology = self._from_values(values)
        width = max(size.width, topology.stage_heads[0])
        return replace(topology, depths=size.depths, width=width)

    def _features(self, arch: AsViTArch) -> dict[str, float]:
        return block_features(
            width=by_block(arch.depths, arch.widths),
            num_heads=by_block(arch.depths, arch.stage_heads),
            mlp_ratio=by_block(arch.depths, arch.expansions),
            split=by_block(arch.depths, arch.splits),
        ) | {"kernel": sum(arch.kernels) / len(arch.kernels)}

    def _span(self, metric: str, options: ModelOptions) -> Window:
        """Given the head count, a stage costs what its own decisions say, so both ends are found
        stage by stage."""
        count, unit = (_stage_params, 1) if metric == "params" else (_stage_macs, 2)
        costs = [
            [
                [
                    count(AsViTArch((k,) * 4, (s,) * 4, (e,) * 4, heads), stage, options)
                    for k, s, e in itertools.product(*choices)
                ]
                for stage, choices in enumerate(
                    zip(
                        self.kernel_choices,
                        self.split_choices,
                        self.expansion_choices,
                        strict=True,
                    )
                )
            ]
            for heads in self.head_choices
        ]
        return (
            unit * min(sum(map(min, stages)) for stages in costs),
            unit * max(sum(map(max, stages)) for stages in costs),
        )

    def _params(self, arch: AsViTArch, options: ModelOptions) -> int:
        return sum(_stage_params(arch, stage, options) for stage in range(4))

    def _macs(self, arch: AsViTArch, options: ModelOptions) -> int:
        return sum(_stage_macs(arch, stage, options) for stage in range(4))


def token_grids(img_size: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    """Token grid (height, width) of the four stages.

    Tokens of the first stage are 4 pixels apart and every merging layer halves the grid. Both round
    up: images and grids that do not divide are padded with zeros at the bottom and on the right.
    """
    height, width = (-(-side // STRIDE) for side in img_size)
    return tuple((-(-height >> stage), -(-width >> stage)) for stage in range(4))


def window_size(grid: tuple[int, int], split: int) -> tuple[int, int]:
    """Height and width of the windows that cut each side of a grid into ``split``, rounded up.

    Where a side does not divide, the last windows reach over the edge, into padding that is not
    attended to; where ``split`` exceeds the side, windows are one token high or wide and there
    are as many as tokens.
    """
    height, width = grid
    return -(-height // split), -(-width // split)


def sampled_size(img_size: tuple[int, int], step: int) -> tuple[int, int]:
    """Height and width of ``image[o::step, o::step]`` with ``o = (step - 1) // 2``.

    Raises:
        ValueError: Nothing is left of the image.
    """
    height, width = (len(range((step - 1) // 2, side, step)) for side in img_size)
    if not height or not width:
        raise ValueError(f"every {step}th pixel of {img_size} leaves none; sample more finely")
    return height, width


def _stage_params(arch: AsViTArch, stage: int, options: ModelOptions) -> int:
    """Embedding or merging layer, blocks, and of the last stage what follows it."""
    dim, kernel = arch.widths[stage], arch.kernels[stage]
    inner, hidden = _inner(arch, stage), arch.expansions[stage] * dim
    if stage == 0:
        total = dim * (options.in_chans * kernel**2 + 1) + 2 * dim
    else:
        unfolded = kernel**2 * arch.widths[stage - 1]
        total = unfolded * dim + 2 * unfolded
    weights = 4 * dim * inner + 2 * dim * hidden
    total += arch.depths[stage] * (weights + 3 * inner + dim + hidden + dim + 4 * dim)
    if stage == 3:
        total += 2 * dim + (dim + 1) * (dim + _heads(options) * options.num_classes)
    return total


def _stage_macs(arch: AsViTArch, stage: int, options: ModelOptions) -> int:
    """Multiply-adds of the same layers."""
    grid = token_grids(options.img_size)[stage]
    dim, kernel, tokens = arch.widths[stage], arch.kernels[stage], math.prod(grid)
    inner, hidden = _inner(arch, stage), arch.expansions[stage] * dim
    channels = options.in_chans if stage == 0 else arch.widths[stage - 1]
    window = window_size(grid, arch.splits[stage])
    windows = math.prod(-(-side // part) for side, part in zip(grid, window, strict=True))
    pairs = windows * math.prod(window) ** 2
    block = tokens * (4 * dim * inner + 2 * dim * hidden) + 2 * pairs * inner
    total = tokens * channels * kernel**2 * dim + arch.depths[stage] * block
    if stage == 3:
        total += dim * (dim + _heads(options) * options.num_classes)
    return total


def _inner(arch: AsViTArch, stage: int) -> int:
    """Width of all heads together, which need not fill the stage's."""
    heads = arch.stage_heads[stage]
    return heads * (arch.widths[stage] // heads)


def _heads(options: ModelOptions) -> int:
    return 2 if options.distilled else 1


def _per_stage(name: str, choices: Sequence[tuple[int, ...]]) -> list[Variable]:
    return [Variable(f"{name}{stage}", allowed) for stage, allowed in enumerate(choices, start=1)]


def _four(values: Sequence[int]) -> Four:
    first, second, third, fourth = values
    return first, second, third, fourth


SEED = AsViTArch((8, 4, 4, 4), (2, 1, 1, 1), (3, 2, 4, 6), heads=32)
"""The published topology that the As-ViT family grows from, ``8,2,3|4,1,2|4,1,4|4,1,6|32``."""

LARGEST = replace(SEED, depths=(5, 2, 5, 2), width=180)
"""As-ViT-Large, ``8,2,3,5|4,1,2,2|4,1,4,5|4,1,6,2|32,180``."""

SPACES = (AsViTSpace(),)
