"""What models whose grid shrinks between stages share of timm's feature interface."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from torch import nn

from tvtfast.models.features import SpatialFeatures


def stage_features(
    features: Sequence[SpatialFeatures], stages: Iterable[nn.Module]
) -> list[SpatialFeatures]:
    """Of the features of every block, those of the last one of each stage.

    Args:
        features: One per block.
        stages: The blocks of each stage as children of one module.
    """
    depths = (len(list(blocks.children())) for blocks in stages)
    return [features[end - 1] for end in itertools.accumulate(depths)]


def chosen_stages(indices: int | Sequence[int], count: int) -> list[int]:
    """Stages by number from 0: the last ``n``, or those of a sequence, where negative ones count
    from the end.

    Raises:
        IndexError: A stage that does not exist.
    """
    stages = range(count)
    return list(stages[-indices:] if isinstance(indices, int) else map(stages.__getitem__, indices))
