"""``compute_nas_score`` with the arguments of AZ-NAS and the four scores of its paper, on tvtfast.

Written from the signature and from the paper; the host is not imported.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import nn

import tvtfast
from tvtfast.data import loader_batch

SCORES = {
    "expressivity": "az_expressivity",
    "progressivity": "az_progressivity",
    "trainability": "az_trainability",
    "complexity": "flops",
}
"""Proxies of tvtfast by the names of the paper."""


def compute_nas_score(
    model: nn.Module,
    device: torch.device | str,
    trainloader: Iterable[Sequence[Any]] | None,
    resolution: int,
    batch_size: int,
    **settings: Any,
) -> dict[str, float]:
    """The four scores of one network, which a search ranks and sums (``az_nas`` of
    `tvtfast.score` does both).

    Args:
        model: Moved to ``device``, scored in evaluation mode with the weights it has, and otherwise
            left as it was.
        device: Where it is scored.
        trainloader: Gives the images; ``None`` for random normal ones ``[batch_size, 3, resolution,
            resolution]``, the same in every call.
        resolution: Height and width of random images.
        batch_size: Number of images; fewer where the first batch of ``trainloader`` has fewer.
        **settings: ``feature_fn`` and the like, see `tvtfast.Measure`.

    Raises:
        ScoringError: The network has no such scores; the message says why.

    Source: Lee and Ham, "AZ-NAS: Assembling Zero-Cost Proxies for Network Architecture Search",
    CVPR 2024.
    """
    if trainloader is None:
        draw = torch.Generator().manual_seed(0)
        images = torch.randn(batch_size, 3, resolution, resolution, generator=draw)
    else:
        images = loader_batch(trainloader, ("random", 1, 0))[0][:batch_size]
    found = _measure(**settings)(model.to(device), images.to(device))
    assert isinstance(found, dict)
    return {name: found[proxy] for name, proxy in SCORES.items()}


@lru_cache(maxsize=4)
def _measure(**settings: Any) -> tvtfast.Measure:
    return tvtfast.Measure(tuple(SCORES.values()), **settings)
