"""Per-channel mean and standard deviation of network inputs."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Normalization:
    """``(pixel - mean) / std`` per RGB channel, with pixels in 0..1.

    Attributes:
        mean: Channel means, in pixel units 0..1.
        std: Channel standard deviations, in pixel units 0..1.

    Raises:
        ValueError: Where either does not hold three finite numbers, or a ``std`` is not positive.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __post_init__(self) -> None:
        for field in ("mean", "std"):
            values = getattr(self, field)
            if len(values) != 3 or not all(math.isfinite(value) for value in values):
                raise ValueError(f"{field}={values!r}: give three finite numbers, one per channel")
        if min(self.std) <= 0:
            raise ValueError(f"std={self.std!r}: every standard deviation must be above 0")


IMAGENET_NORMALIZATION = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""What the published recipe feeds to students and teachers alike, whatever the data set."""
