"""Windows on parameter count and FLOPs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeAlias

from tvtfast.common.names import unknown
from tvtfast.spaces.plain import plain, real, shown

METRICS = ("params", "flops")

Bound: TypeAlias = float | int | None
Constraints: TypeAlias = Mapping[str, tuple[Bound, Bound] | float | int]
Window: TypeAlias = tuple[float, float]


class InfeasibleError(ValueError):
    """No architecture, or fewer than asked for, lies inside the constraints."""


def parse_constraints(constraints: Constraints | None) -> dict[str, Window]:
    """Normalise constraints to closed intervals ``{metric: (low, high)}``.

    A pair bounds both sides and ``None`` leaves a side open; a single number is an upper bound.
    ``params`` counts parameters, ``flops`` counts floating-point operations (two per multiply-add)
    of one image.

    Raises:
        ValueError: An unknown metric, a NaN, or a lower bound above the upper one.
    """
    for metric in constraints or {}:
        if metric not in METRICS:
            raise ValueError(unknown("constraint", metric, METRICS))
    return parse_windows(constraints)


def parse_windows(constraints: Constraints | None) -> dict[str, Window]:
    """`parse_constraints` of any columns.

    Raises:
        ValueError: A NaN, or a lower bound above the upper one.
    """
    windows: dict[str, Window] = {}
    for metric, bounds in (constraints or {}).items():
        bounds = plain(bounds)
        pair = bounds if isinstance(bounds, (list, tuple)) else (None, bounds)
        if len(pair) != 2 or bounds is None or any(isinstance(bound, str) for bound in pair):
            raise ValueError(
                f"constraint {metric!r} is {shown(bounds)}; give (low, high), with None for an "
                "open side"
            )
        low, high = pair
        window = (
            -math.inf if low is None else real("constraint", metric, low),
            math.inf if high is None else real("constraint", metric, high),
        )
        if not window[0] <= window[1]:
            raise ValueError(
                f"constraint {metric!r} has low {window[0]:g} above high {window[1]:g}, or a NaN; "
                "give (low, high) with low <= high"
            )
        windows[metric] = window
    return windows


def describe_windows(windows: Mapping[str, Window]) -> str:
    """One phrase for messages: ``params in [4,000,000, 9,000,000]``."""
    return " and ".join(
        f"{name} in [{low:,.12g}, {high:,.12g}]" for name, (low, high) in windows.items()
    )
