"""Steps of growth fine enough to meet a parameter count."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import replace
from typing import Any


def refined(model: Any, target: float, params: Callable[[Any], int]) -> list[Any]:
    """What a model can grow into in one step that is made for a parameter count.

    A candidate has the depths of the model or one block more in one of the stages, and of all
    widths from that of the model on the one whose parameter count is nearest to the target, by
    their ratio; it is found by bisection. Stages where one block more is too much already are left
    out.

    Args:
        model: An architecture with ``depths`` and ``width``, smaller than the target.
        target: Parameters.
        params: Parameters of an architecture; no fewer for a larger width.

    Returns:
        At least one: the model with no block more is among them, wider.
    """
    depths = [
        model.depths,
        *(
            (*model.depths[:stage], depth + 1, *model.depths[stage + 1 :])
            for stage, depth in enumerate(model.depths)
        ),
    ]
    deeper = [replace(model, depths=one) for one in depths]
    return [
        replace(arch, width=_width(arch, target, params))
        for arch in deeper
        if arch.depths == model.depths or params(arch) < target
    ]


def _width(arch: Any, target: float, params: Callable[[Any], int]) -> int:
    def count(width: int) -> int:
        return params(replace(arch, width=width))

    narrow = wide = int(arch.width)
    while count(wide) < target and count(2 * wide) > count(wide):
        narrow, wide = wide, 2 * wide
    above = bisect_left(range(narrow, wide), target, key=count) + narrow
    nearest = range(max(int(arch.width), above - 1), above + 1)
    return min(nearest, key=lambda width: abs(math.log(count(width) / target)))
