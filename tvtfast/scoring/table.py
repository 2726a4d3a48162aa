"""The result of scoring: one row per candidate, one column per proxy, one status per cell."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tvtfast.common.fallbacks import Fallback
from tvtfast.common.files import replacing
from tvtfast.scoring.cells import STATUSES
from tvtfast.scoring.constraints import violations
from tvtfast.scoring.race import RaceSummary
from tvtfast.scoring.ranking import Method, rank
from tvtfast.spaces import METRICS, Window

if TYPE_CHECKING:
    import pandas as pd


class ScoreTable:
    """Scores of a population, in the order the candidates were given.

    Attributes:
        candidates: What was scored: architectures or modules.
        status: Per candidate and proxy ``ok``, ``partial`` (estimated from some of the images),
            ``infeasible`` (a value outside its window), ``nan``, ``unsupported``, ``error`` or
            ``oom``.
        reasons: Per candidate and proxy what happened; empty where the status is ``ok``.
        higher_is_better: Direction of every proxy of the table.
        scored: The proxies that were asked for: no combinations, and baselines only where nothing
            else was asked for.
        race: What the race spent, if there was one.
        constraints: Windows of columns; a candidate outside is not ranked.
        fallbacks: Fast paths that were left on the way, why, and what that cost.
        reference: Scores that combined ones are relative to, if they are, see `Scorer`.
        determined_by: Per proxy all that its values depend on beside the candidate, as plain JSON
            values; empty where that was not told.
        violations: Per candidate how far it is outside its windows, see
            `tvtfast.scoring.constraints.violations`.
    """

    def __init__(
        self,
        values: pd.DataFrame,
        status: pd.DataFrame,
        reasons: pd.DataFrame,
        *,
        candidates: Sequence[Any],
        higher_is_better: Mapping[str, bool],
        scored: Sequence[str],
        race: RaceSummary | None = None,
        constraints: Mapping[str, Window] | None = None,
        fallbacks: Sequence[Fallback] = (),
        reference: ScoreTable | None = None,
        determined_by: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self._values = values
        self.status = status
        self.reasons = reasons
        self.candidates = list(candidates)
        self.higher_is_better = dict(higher_is_better)
        self.scored = tuple(scored)
        self.race = race
        self.constraints = dict(constraints or {})
        self.violations = violations(values, self.constraints)
        self.fallbacks = tuple(fallbacks)
        self.reference = reference
        self.determined_by = dict(determined_by or {})

    @property
    def limits(self) -> dict[str, Window]:
        """`constraints`, as it was called before."""
        warnings.warn(
            "ScoreTable.limits is called constraints now", DeprecationWarning, stacklevel=2
        )
        return self.constraints

    def to_pandas(self) -> pd.DataFrame:
        """A copy of the values: ``arch`` (canonical JSON, or the name of a module), ``params``,
        ``flops``, one column per proxy, NaN where the status is ``nan``, ``unsupported``,
        ``error`` or ``oom``, and with several weight draws the deviation ``<proxy>_std`` beside the
        mean."""
        return self._values.copy()

    def rank(
        self,
        method: Method = "minmax_sum",
        proxies: Sequence[str] | None = None,
        *,
        relative_to: ScoreTable | None = None,
    ) -> pd.Series[float]:
        """Combined score of every candidate, see `tvtfast.rank`."""
        return rank(self, method, proxies, relative_to=relative_to)

    def values_for(self, table: ScoreTable, proxies: Sequence[str]) -> pd.DataFrame:
        """Columns that another table is to be scaled by.

        Args:
            table: The other table.
            proxies: Names of the columns.

        Raises:
            ValueError: A column is missing, or was scored with other settings.
        """
        self.refuse_other_scores(proxies, table.determined_by)
        return self._values[list(proxies)].astype("float64")

    def refuse_other_scores(
        self, proxies: Sequence[str], determined_by: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """Check that scores of this table and others that are relative to it are comparable.

        Args:
            proxies: Names of columns.
            determined_by: What the values of the others depend on, as in `determined_by`.

        Raises:
            ValueError: A column is missing, or depends on something else.
        """
        for name in proxies:
            if name not in self.higher_is_better:
                raise ValueError(
                    f"relative_to has no proxy {name}; it has {', '.join(self.higher_is_better)}; "
                    "score it with the same proxies"
                )
            mine, other = self.determined_by.get(name), determined_by.get(name)
            if mine is not None and other is not None and mine != other:
                differ = sorted(
                    k for k in mine.keys() | other.keys() if mine.get(k) != other.get(k)
                )
                raise ValueError(
                    f"{name} of relative_to was scored with other {', '.join(differ)}, so its "
                    "values do not compare; score both with the same settings"
                )

    def counts(self) -> dict[str, int]:
        """Number of cells per status."""
        found = self.status.to_numpy().ravel().tolist()
        return {status: found.count(status) for status in STATUSES}

    def trouble(self) -> dict[str, int]:
        """Number of cells without a value, by status."""
        without = STATUSES[STATUSES.index("infeasible") + 1 :]
        return {status: n for status, n in self.counts().items() if n and status in without}

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write values, statuses and reasons as CSV; all of it or nothing."""
        self._write(path, lambda frame, target: frame.to_csv(target, index=False))

    def to_parquet(self, path: str | os.PathLike[str]) -> None:
        """Write values, statuses and reasons as Parquet; all of it or nothing."""
        self._write(path, lambda frame, target: frame.to_parquet(target, index=False))

    def _write(
        self, path: str | os.PathLike[str], write: Callable[[pd.DataFrame, Path], None]
    ) -> None:
        frame = self.to_pandas()
        for proxy in self.status.columns:
            frame[f"{proxy}_status"] = self.status[proxy]
            frame[f"{proxy}_reason"] = self.reasons[proxy]
        with replacing(path) as target:
            write(frame, target)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        trouble = self.trouble()
        return (
            f"ScoreTable({len(self)} candidates{', ' if trouble else ''}{trouble or ''})\n"
            + repr(self._values)
            + "".join(f"\n{fallback}" for fallback in self.fallbacks)
        )


def integer_columns(values: pd.DataFrame) -> pd.DataFrame:
    """Parameter counts and FLOPs as integers; missing ones stay missing."""
    return values.astype({name: "Int64" for name in METRICS if name in values})
