"""PiT spaces: three stages joined by pooling.

``pit`` is the space of TVT's released search. ``pit-full-tiny`` has all 27 depths of the
configuration files beside it, and is TF-TAS' space of PiT-Ti; ``pit-full-xs`` and
``pit-full-small`` are those of its PiT-XS and PiT-S.
Sources: Heo et al., "Rethinking Spatial Dimensions of Vision Transformers", ICCV 2021; Zhou et al.,
"Training-free Transformer Architecture Search", CVPR 2022.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from tvtfast.spaces.base import Space
from tvtfast.spaces.constraints import Window
from tvtfast.spaces.encodings import take
from tvtfast.spaces.features import block_features, by_block
from tvtfast.spaces.options import ModelOptions
from tvtfast.spaces.plain import shown, whole
from tvtfast.spaces.soundness import WIDEST, check_count, check_counts, not_searched
from tvtfast.spaces.steps import MLP, Classifier, Embedding, Pooling, SelfAttention, Step
from tvtfast.spaces.variables import Variable

_STAGES = 3
_DECISIONS = ("base_dim", "mlp_ratio", "depth", "num_heads")
_HEADS = tuple(itertools.combinations_with_replacement((2, 4, 8), 3))
_SMALL_HEADS = tuple(itertools.combinations_with_replacement((3, 6, 12), 3))
_ALL_DEPTHS = tuple(itertools.product((1, 2, 3), (4, 6, 8), (2, 4, 6)))
_DEPTHS = tuple(triple for triple in _ALL_DEPTHS if 12 <= sum(triple) <= 14)


@dataclass(frozen=True)
class PiTArch:
    """Channels per head, one MLP ratio, and per stage the block count and the number of heads."""

    base_dim: int
    mlp_ratio: int
    depth: tuple[int, int, int]
    num_heads: tuple[int, int, int]

    @property
    def widths(self) -> tuple[int, int, int]:
        """Embedding width of each stage."""
        first, second, third = (self.base_dim * heads for heads in self.num_heads)
        return first, second, third


@dataclass(frozen=True)
class PiTSpace(Space[PiTArch]):
    """Ranges of a PiT space; by default the 1,600 architectures of TVT.

    Heads never decrease from stage to stage, since the pooling convolution is depthwise and can
    only multiply channels.

    Args:
        name: Name in the registry.
        base_dims: Channels of a head.
        mlp_ratios: Hidden width of the MLPs over the width of their stage.
        depth_triples: Block counts of the three stages.
        head_triples: Heads of the three stages.
    """

    name: str = "pit"
    base_dims: tuple[int, ...] = (16, 24, 32, 40)
    mlp_ratios: tuple[int, ...] = (2, 4, 6, 8)
    depth_triples: tuple[tuple[int, ...], ...] = _DEPTHS
    head_triples: tuple[tuple[int, ...], ...] = _HEADS

    arch_type: ClassVar[type[Any]] = PiTArch
    pools: ClassVar[tuple[str, ...]] = ("token", "avg")

    @property
    def _choices(self) -> tuple[tuple[Any, ...], ...]:
        return self.base_dims, self.mlp_ratios, self.depth_triples, self.head_triples

    @property
    def variables(self) -> tuple[Variable, ...]:
        return tuple(map(Variable, _DECISIONS, self._choices))

    def _from_values(self, values: Sequence[Any]) -> PiTArch:
        return PiTArch(*values)

    def _to_values(self, arch: PiTArch) -> Sequence[Any]:
        return tuple(getattr(arch, decision) for decision in _DECISIONS)

    @property
    def size(self) -> int:
        return (
            len(self.base_dims)
            * len(self.mlp_ratios)
            * len(self.depth_triples)
            * len(self.head_triples)
        )

    def _all(self) -> Iterator[PiTArch]:
        return itertools.starmap(PiTArch, itertools.product(*self._choices))

    def draw(self, rng: random.Random) -> PiTArch:
        return PiTArch(*(rng.choice(choices) for choices in self._choices))

    def validate(self, arch: PiTArch) -> None:
        """Numbers of at least 1, three each of depths and heads, and heads of a stage that are a
        multiple of those before: the pooling convolution is depthwise."""
        check_count(self.name, "base_dim", arch.base_dim)
        check_count(self.name, "mlp_ratio", arch.mlp_ratio)
        for decision in ("depth", "num_heads"):
            values = getattr(arch, decision)
            if len(values) != _STAGES:
                raise ValueError(
                    f"{self.name}: {decision} is {shown(values)}; give one per stage, three"
                )
            check_counts(self.name, decision, values)
        for stage in (1, 2):
            before, heads = arch.num_heads[stage - 1 : stage + 1]
            if heads % before:
                raise ValueError(
                    f"{self.name}: num_heads is {shown(arch.num_heads)}; pooling multiplies "
                    f"channels, so give a multiple of {before} after {before}"
                )
        check_count(self.name, "base_dim times num_heads[2]", arch.widths[-1])
        check_count(
            self.name, "mlp_ratio times the width", arch.widths[-1] * arch.mlp_ratio, WIDEST
        )

    def _outside(self, arch: PiTArch) -> str:
        whys = (
            not_searched(decision, getattr(arch, decision), allowed)
            for decision, allowed in zip(_DECISIONS, self._choices, strict=True)
        )
        return next(filter(None, whys), "")

    def to_dict(self, arch: PiTArch) -> dict[str, Any]:
        return {
            "base_dim": arch.base_dim,
            "mlp_ratio": arch.mlp_ratio,
            "depth": list(arch.depth),
            "num_heads": list(arch.num_heads),
        }

    def from_dict(self, fields: Mapping[str, Any]) -> PiTArch:
        base_dim, mlp_ratio, depth, num_heads = take(self.name, fields, _DECISIONS)
        for decision, values in (("depth", depth), ("num_heads", num_heads)):
            if not isinstance(values, (list, tuple)) or len(values) != _STAGES:
                raise ValueError(
                    f"{self.name}: {decision} is {shown(values)}; give one per stage, three"
                )
        return PiTArch(
            whole(self.name, "base_dim", base_dim),
            whole(self.name, "mlp_ratio", mlp_ratio),
            _triple(whole(self.name, "depth", count) for count in depth),
            _triple(whole(self.name, "num_heads", count) for count in num_heads),
        )

    def _mutate(self, arch: PiTArch, rng: random.Random, prob: float) -> PiTArch:
        fresh = self.draw(rng)
        return PiTArch(
            *(getattr(fresh if rng.random() < prob else arch, decision) for decision in _DECISIONS)
        )

    def _crossover(self, first: PiTArch, second: PiTArch, rng: random.Random) -> PiTArch:
        return PiTArch(
            rng.choice((first.base_dim, second.base_dim)),
            rng.choice((first.mlp_ratio, second.mlp_ratio)),
            rng.choice((first.depth, second.depth)),
            rng.choice((first.num_heads, second.num_heads)),
        )

    def _span(self, metric: str, options: ModelOptions) -> Window:
        values = [self._measure(metric, arch, options) for arch in self._all()]
        return min(values), max(values)

    def _features(self, arch: PiTArch) -> dict[str, float]:
        blocks = sum(arch.depth)
        return block_features(
            width=by_block(arch.depth, arch.widths),
            num_heads=by_block(arch.depth, arch.num_heads),
            mlp_ratio=(arch.mlp_ratio,) * blocks,
        ) | {"head_dim": float(arch.base_dim)}

    def _steps(self, arch: PiTArch, options: ModelOptions) -> tuple[Step, ...]:
        grids, widths, prefix = stage_grids(options), arch.widths, options.num_prefix_tokens
        patch = options.patch_size
        steps: list[Step] = [
            Embedding.of(
                "patch_embed.",
                widths[0],
                patch,
                patch // 2,
                options.in_chans,
                grids[0],
                prefix,
                _area(grids[0]),
            )
        ]
        for stage, (dim, depth, heads, grid) in enumerate(
            zip(widths, arch.depth, arch.num_heads, grids, strict=True)
        ):
            if stage:
                name = f"pools.{stage - 1}."
                before = grids[stage - 1]
                steps.append(Pooling.of(name, widths[stage - 1], dim, before, grid, prefix))
            for block in range(depth):
                name = f"stages.{stage}.{block}."
                steps += (
                    SelfAttention.of(name, dim, heads, arch.base_dim, grid, prefix),
                    MLP.of(name, dim, dim * arch.mlp_ratio, grid, prefix),
                )
        steps.append(Classifier.of("", widths[-1], options.num_classes, options.distilled))
        return tuple(steps)


def stage_grids(options: ModelOptions) -> tuple[tuple[int, int], ...]:
    """Token grid (height, width) of the three stages.

    The embedding convolution has stride ``patch_size // 2`` and no padding; each pooling
    convolution (kernel 3, stride 2, padding 1) halves the grid, rounding up.

    Raises:
        ValueError: ``patch_size`` is 1, so that the stride would be 0, or patches leave pixels out.
    """
    height, width = options.patch_grid(overlap=2)
    grids = [(height, width)]
    for _ in range(2):
        height, width = (height + 1) // 2, (width + 1) // 2
        grids.append((height, width))
    return tuple(grids)


def _triple(values: Iterable[int]) -> tuple[int, int, int]:
    first, second, third = values
    return first, second, third


def _area(grid: tuple[int, int]) -> int:
    return grid[0] * grid[1]


SPACES = (
    PiTSpace(),
    PiTSpace("pit-full-tiny", depth_triples=_ALL_DEPTHS),
    PiTSpace("pit-full-xs", (40, 48, 56, 64), depth_triples=_ALL_DEPTHS),
    PiTSpace(
        "pit-full-small",
        (36, 48, 60, 72),
        depth_triples=_ALL_DEPTHS,
        head_triples=_SMALL_HEADS,
    ),
)
