"""What a calibration combines: columns of scores and closed-form features, on one scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tvtfast.spaces import METRICS

if TYPE_CHECKING:
    import pandas as pd

    from tvtfast.scoring.table import ScoreTable

Array = npt.NDArray[np.float64]

KINDS = ("score", "params", "feature")
_MAD = 1.4826
"""Deviation of a normal variable over its median absolute deviation."""
_TOTAL = "_sum"
_LEAST = 1e-6
"""Spread of a column below which it tells no candidate from another."""


@dataclass(frozen=True)
class Column:
    """One column, and its scale in the population that the calibration was fitted in.

    Args:
        name: Of a score of the table, or of a feature of `tvtfast.spaces.Space.features`.
        kind: One of `KINDS`: a score is ``asinh`` of its robust deviation from the median, so that
            order is kept and far values count for little; parameters are logarithms.
        sign: -1 for a score of which lower is better.
        center: Median of a score.
        spread: Its robust deviation.
        mean: Of the transformed values.
        deviation: Of the transformed values.
        explained: Slope of this column over the first one, which is taken out of it.
    """

    name: str
    kind: str
    sign: float
    center: float
    spread: float
    mean: float
    deviation: float
    explained: float

    def standard(self, raw: Array) -> Array:
        """Values on the scale of the population: mean 0, deviation 1."""
        return (transformed(raw, self.kind, self.sign, self.center, self.spread) - self.mean) / (
            self.deviation
        )


def transformed(raw: Array, kind: str, sign: float, center: float, spread: float) -> Array:
    """Values before they are standardised; NaN where there is no finite value."""
    values = np.where(np.isfinite(raw), raw, math.nan)
    if kind == "score":
        values = np.arcsinh(sign * (values - center) / spread)
    elif kind == "params":
        values = np.log(values)
    return np.asarray(values, dtype=np.float64)


def median_spread(values: Array) -> tuple[float, float]:
    """Median, and robust standard deviation; the plain one where most values are equal."""
    center = float(np.median(values))
    spread = _MAD * float(np.median(np.abs(values - center)))
    return center, spread or float(np.std(values))


def raw_columns(
    scores: Mapping[str, Array], features: pd.DataFrame
) -> dict[tuple[str, str], Array]:
    """All columns of some candidates, by kind and name, as they are.

    Sums over blocks are left out: they are depth times a mean.

    Args:
        scores: Columns of the table.
        features: `tvtfast.ScoreTable.features`.
    """
    found = {("params" if name == "params" else "score", name): scores[name] for name in scores}
    for name in features:
        if not str(name).endswith(_TOTAL):
            found["feature", str(name)] = features[name].to_numpy("float64")
    return found


def choose_columns(
    raw: Mapping[tuple[str, str], Array], higher_is_better: Mapping[str, bool], prior: str
) -> tuple[tuple[Column, ...], tuple[str, ...]]:
    """The columns that tell candidates apart, the prior first, and what was left out and why.

    Raises:
        ValueError: The prior does not tell one from another.
    """
    first = ("params" if prior == "params" else "score", prior)
    columns: list[Column] = []
    left_out = []
    values: Array = np.empty(0)
    for kind, name in [first, *(key for key in raw if key != first)]:
        column = _scaled(name, kind, raw[kind, name], higher_is_better.get(name, True))
        if column is None:
            if not columns:
                raise ValueError(
                    f"prior is {name!r}, of which the candidates have no two different values; "
                    "choose another column"
                )
            left_out.append(f"{name} is the same in all candidates")
            continue
        own = column.standard(raw[kind, name])
        if not columns:
            values = own
        else:
            both = np.isfinite(values) & np.isfinite(own)
            slope = float(values[both] @ own[both] / (values[both] @ values[both]))
            if np.std(own[both] - slope * values[both]) < _LEAST:
                left_out.append(f"{name} follows from {prior}")
                continue
            column = replace(column, explained=slope)
        columns.append(column)
    return tuple(columns), tuple(left_out)


def design(raw: Mapping[tuple[str, str], Array], columns: Sequence[Column]) -> Array:
    """``[n, d]``: the prior, and what it does not explain of the other columns; NaN where a
    candidate has no value."""
    unknown = np.full(len(next(iter(raw.values()))), math.nan)
    standard = [column.standard(raw.get((column.kind, column.name), unknown)) for column in columns]
    return np.column_stack(
        [
            own - column.explained * standard[0]
            for own, column in zip(standard, columns, strict=True)
        ]
    )


def score_names(table: ScoreTable, prior: str) -> list[str]:
    """The columns of a table that a calibration may use: what was scored, the prior, params."""
    scored = [name for name in table.scored if name not in METRICS]
    return list(dict.fromkeys([prior, *scored, "params"]))


def _scaled(name: str, kind: str, raw: Array, higher: bool) -> Column | None:
    sign = -1.0 if kind == "score" and not higher else 1.0
    finite = raw[np.isfinite(raw)]
    if len(finite) < 2 or np.ptp(finite) == 0:
        return None
    center, spread = median_spread(finite) if kind == "score" else (0.0, 1.0)
    values = transformed(finite, kind, sign, center, spread)
    deviation = float(np.std(values))
    if not deviation > 0:
        return None
    return Column(name, kind, sign, center, spread, float(np.mean(values)), deviation, 0.0)
