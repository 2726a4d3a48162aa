"""Scores that are made of other scores of the same candidate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tvtfast.proxies.base import CombinedProxy

if TYPE_CHECKING:
    import pandas as pd

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class DerivedProxy(CombinedProxy):
    """A combination whose scale is fixed: the score of a candidate depends on no other candidate.

    So it is ranked in place of its parts, compares between populations, and can have a window.

    Args:
        derive: From ``[n]`` values of every part, by name, and closed-form features of the
            candidates (`tvtfast.ScoreTable.features`) to ``[n]`` scores, NaN where there is none.
        depends_on: What else its values depend on, as plain JSON values.
        refuse_other_scores: Raises ``ValueError`` where scores of its parts are on another scale
            than it takes; gets what they depend on, as in `tvtfast.ScoreTable.determined_by`.
        fitted_on: Architectures, as canonical JSON, whose accuracy it was fitted to.
    """

    derive: Callable[[Mapping[str, Array], pd.DataFrame], Array] = field(
        kw_only=True, compare=False
    )
    fitted_on: frozenset[str] = field(kw_only=True, default=frozenset(), hash=False)
    depends_on: Mapping[str, Any] = field(kw_only=True, default_factory=dict, hash=False)
    refuse_other_scores: Callable[[Mapping[str, Mapping[str, Any]]], None] = field(
        kw_only=True, compare=False
    )
