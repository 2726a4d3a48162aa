"""Constraints on scored columns: which candidates of a table lie inside.

Parameters and FLOPs are known before anything is scored, so a search proposes nothing outside. What
is known of a scored candidate alone, such as its throughput, decides afterwards whether it may win.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tvtfast.spaces import Window, describe_windows

if TYPE_CHECKING:
    import pandas as pd


def violations(values: pd.DataFrame, constraints: Mapping[str, Window]) -> pd.Series[float]:
    """How far every row is outside: the sum over constraints of the distance to the window,
    relative to the bound it is beyond (absolute where that is 0); 0 inside, infinite where a value
    is missing."""
    import pandas as pd

    total = pd.Series(0.0, index=values.index)
    for name, (low, high) in constraints.items():
        total += [_distance(float(value), low, high) for value in values[name].astype("float64")]
    return total


def _distance(value: float, low: float, high: float) -> float:
    if math.isnan(value):
        return math.inf
    bound = min(max(value, low), high)
    return abs(value - bound) / (abs(bound) or 1.0) if value != bound else 0.0


def unreached(values: pd.DataFrame, constraints: Mapping[str, Window]) -> str:
    """What to tell where no row is inside."""
    reached = ", ".join(_reached(values, name) for name in constraints)
    return (
        f"none of {len(values):,} candidates has {describe_windows(constraints)}; they reached "
        f"{reached}; widen the window, or move those of params and flops to where it can be met"
    )


def _reached(values: pd.DataFrame, name: str) -> str:
    found = values[name].astype("float64").dropna()
    return f"{name} {found.min():g} to {found.max():g}" if len(found) else f"no {name} at all"
