"""``compute_nas_score`` of ZenNAS (idstcv/ZenNAS) and a score of TinyNAS, on tvtfast.

ZenNAS: import `compute_nas_score` in place of its own. TinyNAS: ``register(SCORES)``, then
``type="tvtfast"``. Both log every error and go on with -9999; here it is a warning besides.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import lru_cache
from statistics import fmean, pstdev
from typing import Any

import torch
from torch import nn

import tvtfast
from tvtfast.common import checks


@dataclass
class Score:
    """One score over random normal images, as TinyNAS has scores.

    Args:
        image_size: Height and width of the images.
        proxy: Name of `tvtfast.proxies.available`. Networks are scored where they are, in
            evaluation mode, with the weights they have; ``zen`` draws its own, and 16 images.
        batch_size: Number of images.
        repeat: Number of draws, with seeds 0, 1 and so on.
        num_classes: Of random labels.
        teacher: See `tvtfast.Measure`, whose errors are raised, as is ``feature_fn``.
        cfg: Handed over by the host and not used, as is ``logger``.
    """

    image_size: int = 224
    proxy: str = "zen"
    batch_size: int = 16
    repeat: int = 1
    num_classes: int = 10
    teacher: Any = None
    feature_fn: Any = None
    cfg: Any = None
    logger: Any = None

    def __post_init__(self) -> None:
        seen = {"teacher": self.teacher, "feature_fn": self.feature_fn}
        seeds = range(checks.whole("repeat", self.repeat, least=1))
        self.measures = [tvtfast.Measure(self.proxy, seed=seed, **seen) for seed in seeds]

    def __call__(self, model: nn.Module) -> dict[str, Any]:
        """``avg_nas_score``, ``std_nas_score`` and ``nas_score_list``.

        Raises:
            ScoringError: The network has no such score, such as ``zen`` of one with batch norms.
        """
        try:
            scores = [self._score(seed, model) for seed in range(len(self.measures))]
        except tvtfast.ScoringError as error:
            warnings.warn(f"{type(model).__name__} has no score: {error}", stacklevel=2)
            raise
        statistics = {"avg_nas_score": fmean(scores), "std_nas_score": pstdev(scores)}
        return {**statistics, "nas_score_list": scores}

    def _score(self, seed: int, model: nn.Module) -> Any:
        draw, size = torch.Generator().manual_seed(seed), self.image_size
        images = torch.randn(self.batch_size, 3, size, size, generator=draw)
        labels = torch.randint(self.num_classes, (self.batch_size,), generator=draw)
        return self.measures[seed](model, images, labels)


def register(scores: Any, name: str = "tvtfast") -> None:
    """Add `Score` to ``tinynas.scores.builder.SCORES`` under a name."""
    scores.register_module(module_name=name)(Score)


def compute_nas_score(
    gpu: int | None,
    model: nn.Module,
    mixup_gamma: float,
    resolution: int,
    batch_size: int,
    repeat: int,
    fp16: bool = False,
    **settings: Any,
) -> dict[str, Any]:
    """`Score` by ZenNAS' arguments: ``avg_nas_score``, ``std_nas_score`` and ``avg_precision``,
    1.96 standard errors. Settings and errors are those of `Score`.

    Raises:
        ValueError: ``fp16``, or ``zen`` with a ``mixup_gamma`` that is not its step, 0.01.
    """
    if fp16 or (mixup_gamma != 0.01 and settings.get("proxy", "zen") == "zen"):
        raise ValueError(f"fp16={fp16}, mixup_gamma={mixup_gamma}: give False and, for zen, 0.01")
    info = _score(resolution, batch_size=batch_size, repeat=repeat, **settings)(model)
    return {**info, "avg_precision": 1.96 * info["std_nas_score"] / repeat**0.5}


_score = lru_cache(maxsize=4)(Score)  # kept with what its teacher said of the images
