"""Windows on parameter count and FLOPs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeAlias

from tvtfast.common.names import unknown
from tvtfast.spaces.plain import plain, real, shown

METRICS = ("params", "flops", "macs")
"""Counts of an architecture, known before anything is scored. FLOPs are two per multiply-add, and
``macs`` are multiply-adds, half as many; most papers say FLOPs of these."""
PUBLISHED = "published_flops"
"""Cost by the counter of the released code of ViTAS, in the unit of its published budgets."""
COUNTS = (*METRICS, PUBLISHED)
"""What can be limited before anything is scored."""

_MILLION = 1_000_000

Bound: TypeAlias = float | int | None
Constraints: TypeAlias = Mapping[str, tuple[Bound, Bound] | float | int]
Window: TypeAlias = tuple[float, float]


class InfeasibleError(ValueError):
    """No architecture, or fewer than asked for, lies inside the constraints."""


def parse_constraints(constraints: Constraints | None) -> dict[str, Window]:
    """Normalise constraints to closed intervals ``{metric: (low, high)}``.

    A pair bounds both sides and ``None`` leaves a side open; a single number is an upper bound.
    ``params`` counts parameters, ``flops`` floating-point operations (two per multiply-add) of one
    image, ``macs`` its multiply-adds. The last becomes a window of ``flops``, and where both are
    given, what they have in common. ``published_flops`` are those of `PUBLISHED`, which few spaces
    know.

    Raises:
        ValueError: An unknown metric, a NaN, a lower bound above the upper one, or windows of
            ``flops`` and ``macs`` with nothing in common.
    """
    for metric in constraints or {}:
        if metric not in COUNTS:
            raise ValueError(unknown("constraint", metric, COUNTS))
    windows = parse_windows(constraints)
    if "macs" in windows:
        flops = windows.get("flops", (-math.inf, math.inf))
        windows["flops"] = _common(flops, windows.pop("macs"))
    return windows


def _common(flops: Window, macs: Window) -> Window:
    low, high = max(flops[0], 2 * macs[0]), min(flops[1], 2 * macs[1])
    if low > high:
        raise ValueError(
            f"constraints {_bounds('flops', flops)} and {_bounds('macs', macs)} have nothing in "
            "common: FLOPs are two per multiply-add; give one of them, or windows that overlap"
        )
    return low, high


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


def rounded_millions(low: float | None, high: float | None) -> tuple[int | None, int | None]:
    """The window of parameters whose number in millions, rounded, lies in ``[low, high]``: what
    TVT's code compares. Python rounds halves to the even number.

    ``rounded_millions(4, 9)`` is ``(3_500_000, 9_499_999)``.

    Args:
        low: In millions; ``None`` for an open side.
        high: In millions.
    """
    least = None if low is None else math.ceil(low)
    most = None if high is None else math.floor(high)
    # a half goes down to an even number of millions, and up to one
    return (
        None if least is None else least * _MILLION - _MILLION // 2 + least % 2,
        None if most is None else most * _MILLION + _MILLION // 2 - most % 2,
    )


def describe_windows(windows: Mapping[str, Window]) -> str:
    """One phrase for messages: ``params in [4,000,000, 9,000,000]``; FLOPs as MACs, too."""
    return " and ".join(
        _bounds(name, (low, high))
        + (f" ({_bounds('macs', (low / 2, high / 2))})" if name == "flops" else "")
        for name, (low, high) in windows.items()
    )


def _bounds(name: str, window: Window) -> str:
    low, high = window
    return f"{name} in [{low:,.12g}, {high:,.12g}]"
