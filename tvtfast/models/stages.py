"""timm's feature interface: of stages whose grid shrinks, and of blocks of one grid."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from torch import nn

from tvtfast.models.features import SpatialFeatures
from tvtfast.models.timm_interface import TimmInterface


def stage_features(
    features: Iterable[SpatialFeatures], stages: Iterable[nn.Module]
) -> Iterator[SpatialFeatures]:
    """Of the features of every block, those of the last one of each stage.

    Args:
        features: One per block.
        stages: The blocks of each stage as children of one module.
    """
    blocks = iter(features)
    for stage in stages:
        yield collections.deque(itertools.islice(blocks, len(list(stage.children()))), maxlen=1)[0]


def chosen_stages(indices: int | Sequence[int], count: int) -> list[int]:
    """Stages by number from 0: the last ``n``, or those of a sequence, where negative ones count
    from the end.

    Raises:
        IndexError: A stage that does not exist.
    """
    stages = range(count)
    return list(stages[-indices:] if isinstance(indices, int) else map(stages.__getitem__, indices))


class PlainBackbone(TimmInterface):
    """timm's feature interface of a model whose ``blocks`` all have one grid, its base class.

    Attributes:
        blocks: The blocks.
        patch_embed: Module with ``proj``, the convolution of the patches.
        norm: Final norm.
    """

    blocks: nn.ModuleList
    patch_embed: nn.Module
    norm: nn.Module

    @property
    def feature_info(self) -> list[dict[str, Any]]:
        """Channels, stride and module of every block, as timm describes them."""
        proj = self.patch_embed.get_submodule("proj")
        assert isinstance(proj, nn.Conv2d)
        return [
            {"num_chs": proj.out_channels, "reduction": proj.stride[0], "module": f"blocks.{block}"}
            for block in range(len(self.blocks))
        ]

    def prune_intermediate_layers(
        self, indices: int | Sequence[int] = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Drop what `forward_intermediates` does not need for these blocks, as timm's models do.

        Returns:
            The blocks, counted from 0.
        """
        chosen = chosen_stages(indices, len(self.blocks))
        self.blocks = self.blocks[: max(chosen) + 1]
        if prune_norm:
            self.norm = nn.Identity()
        if prune_head:
            self.reset_classifier(0)
        return chosen
