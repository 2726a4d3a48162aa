"""A space of a user's own whose candidates share a superformer: mixers of a width and a depth."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, ClassVar

from torch import Tensor, nn

from tvtfast.models import ChainedModel, Link, register_model
from tvtfast.spaces import Axis, Genes, Layout, ModelOptions, Space, layer_pieces

WIDTHS, DEPTHS = (8, 12, 20), (1, 2, 3)


@dataclass(frozen=True)
class MixerArch:
    """Width and number of blocks."""

    width: int
    depth: int


@dataclass(frozen=True)
class MixerSpace(Space[MixerArch]):
    """Nine architectures."""

    name: str = "own-mixer"

    arch_type: ClassVar[type[Any]] = MixerArch

    @property
    def size(self) -> int:
        return len(WIDTHS) * len(DEPTHS)

    def draw(self, rng: random.Random) -> MixerArch:
        return MixerArch(rng.choice(WIDTHS), rng.choice(DEPTHS))

    def validate(self, arch: MixerArch) -> None:
        if arch.width not in WIDTHS or arch.depth not in DEPTHS:
            raise ValueError(f"{arch} is no mixer of {self.name}")

    def to_dict(self, arch: MixerArch) -> dict[str, Any]:
        return asdict(arch)

    def from_dict(self, fields: Mapping[str, Any]) -> MixerArch:
        return MixerArch(**fields)

    def _mutate(self, arch: MixerArch, rng: random.Random, prob: float) -> MixerArch:
        return self.draw(rng) if rng.random() < prob else arch

    def _crossover(self, first: MixerArch, second: MixerArch, rng: random.Random) -> MixerArch:
        return MixerArch(rng.choice((first, second)).width, rng.choice((first, second)).depth)

    def _span(self, metric: str, options: ModelOptions) -> tuple[int, int]:
        return 0, 10**12

    def largest(self) -> Iterator[MixerArch]:
        yield MixerArch(WIDTHS[-1], DEPTHS[-1])

    def genes(self, arch: MixerArch) -> Genes:
        return ((arch.width,), *((number,) for number in range(arch.depth)))

    def layout(self, arch: MixerArch, qkv_mode: int) -> Layout:
        width = Axis(WIDTHS, arch.width)

        return {
            **layer_pieces("patch_embed", width, None, None, None),
            **{
                name: pieces
                for place in range(arch.depth)
                for name, pieces in layer_pieces(f"blocks.{place}", width, width).items()
            },
            **layer_pieces("norm", width),
            **layer_pieces("head", None, width),
        }


class Mixer(ChainedModel):
    """Patches, and linear layers over channels."""

    def __init__(self, arch: MixerArch, space: MixerSpace, options: ModelOptions) -> None:
        super().__init__(options, None)
        patch = options.patch_size
        self.grid = (options.img_size[0] // patch, options.img_size[1] // patch)
        self.patch_embed = nn.Conv2d(3, arch.width, patch, stride=patch)
        self.blocks = nn.ModuleList(nn.Linear(arch.width, arch.width) for _ in range(arch.depth))
        self.norm = nn.LayerNorm(arch.width)
        self.head = nn.Linear(arch.width, options.num_classes)

    def links(self) -> Iterator[Link]:
        yield Link(("patch_embed.",), self._embedded)
        for place, block in enumerate(self.blocks):
            yield Link((f"blocks.{place}.",), partial(_residual, block), self.grid)

    def _embedded(self, images: Tensor) -> Tensor:
        embedded: Tensor = self.patch_embed(images)
        return embedded.flatten(2).transpose(1, 2)

    def pool(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        pooled: Tensor = self.norm(tokens).mean(dim=1)
        return pooled, pooled


def _residual(block: nn.Module, x: Tensor) -> Tensor:
    mixed: Tensor = block(x)
    return x + mixed.tanh()


register_model(MixerArch, Mixer)
SPACE = MixerSpace()
