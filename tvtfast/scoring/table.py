"""The result of scoring: one row per candidate, one column per proxy, one status per cell."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tvtfast.common.fallbacks import Fallback
from tvtfast.common.files import replacing
from tvtfast.common.optional import need
from tvtfast.scoring.cells import STATUSES
from tvtfast.scoring.constraints import violations
from tvtfast.scoring.race import RaceSummary
from tvtfast.scoring.ranking import Method, rank
from tvtfast.scoring.turns import turn
from tvtfast.spaces import METRICS, Window

if TYPE_CHECKING:
    import pandas as pd


class Frames(NamedTuple):
    """One row per candidate, in the order they were given.

    Args:
        values: ``arch``, and one column per proxy.
        status: One column per proxy.
        reasons: One column per proxy.
        draws: Per proxy with several weight draws the values of each, float64 ``[draws, n]``; of a
            combined one the combination of each.
        seconds: Per proxy what a candidate took, where that is known.
    """

    values: pd.DataFrame
    status: pd.DataFrame
    reasons: pd.DataFrame
    draws: Mapping[str, npt.NDArray[np.float64]] = {}
    seconds: Mapping[str, float] = {}


class ScoreTable:
    """Scores of a population, in the order the candidates were given.

    ``table[name]`` are the values of one column alone, which computes no other: float64 ``[n]``,
    NaN where there is none. All else looks at the whole table, and that counts the FLOPs of modules
    where nobody had asked for them; a count that fails then has a status like any other score.

    Attributes:
        candidates: What was scored: architectures or modules.
        higher_is_better: Direction of every proxy of the table.
        scored: The proxies that were asked for: no combinations, and baselines only where nothing
            else was asked for.
        race: What the race spent, if there was one.
        constraints: Windows of columns; a candidate outside is not ranked.
        fallbacks: Fast paths that were left on the way, why, and what that cost.
        notes: What is to be known about the candidates, such as that a search of their space would
            not propose some of them.
        reference: Scores that combined ones are relative to, if they are, see `Scorer`.
        features: Depth, width and their like in closed form (`tvtfast.spaces.Space.features`): one
            row per candidate, one float64 column per feature, NaN for modules.
        determined_by: Per proxy all that its values depend on beside the candidate, as plain JSON
            values; empty where that was not told.
        space: Name of the space whose architectures the candidates are, all with weights that are
            drawn; ``None`` where some are modules, or inherit weights.
        fitted_on: Per column that was fitted to accuracies the architectures, as canonical JSON,
            that it was fitted on: it foretells them better than others.
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
        notes: Sequence[str] = (),
        reference: ScoreTable | None = None,
        determined_by: Mapping[str, Mapping[str, Any]] | None = None,
        features: Callable[[], pd.DataFrame] | None = None,
        fitted_on: Mapping[str, frozenset[str]] | None = None,
        space: str | None = None,
    ) -> None:
        self._made: Frames | None = Frames(values, status, reasons)
        self._make: Callable[[], Frames] | None = None
        self._columns: Mapping[str, Callable[[], Sequence[float]]] = {}
        self.candidates = list(candidates)
        self.higher_is_better = dict(higher_is_better)
        self.scored = tuple(scored)
        self.race = race
        self.constraints = dict(constraints or {})
        self.fallbacks, self.notes = tuple(fallbacks), tuple(notes)
        self.reference = reference
        self.determined_by = dict(determined_by or {})
        self.fitted_on = dict(fitted_on or {})
        self.space = space
        self._features = features

    @classmethod
    def when_asked(
        cls,
        make: Callable[[], Frames],
        columns: Mapping[str, Callable[[], Sequence[float]]],
        **attributes: Any,
    ) -> ScoreTable:
        """A table that is made when somebody looks at it.

        Args:
            make: Makes all of it.
            columns: Makes the values of a single column.
            **attributes: As for any other table.
        """
        # what the frames are is known when they are made
        table = cls(None, None, None, **attributes)  # type: ignore[arg-type]
        table._made, table._make, table._columns = None, make, columns
        return table

    @property
    def _frames(self) -> Frames:
        with turn():
            if self._made is None:
                assert self._make is not None
                self._made, self._make, self._columns = self._make(), None, {}
            return self._made

    @property
    def status(self) -> pd.DataFrame:
        """Per candidate and proxy ``ok``, ``partial`` (estimated from some of the images),
        ``infeasible`` (a value outside its window), ``nan``, ``unsupported``, ``error`` or ``oom``.
        """
        return self._frames.status

    @property
    def reasons(self) -> pd.DataFrame:
        """Per candidate and proxy what happened; empty where the status is ``ok``."""
        return self._frames.reasons

    @property
    def draws(self) -> Mapping[str, npt.NDArray[np.float64]]:
        """Per proxy with several weight draws the values of each, float64 ``[draws, n]``, NaN where
        there is none. The values of the table are their means, those of a combined proxy the
        combination of the means of its parts."""
        return self._frames.draws

    @property
    def seconds(self) -> Mapping[str, float]:
        """Per proxy what a candidate took in the mean, over all weight draws; NaN where that is not
        known. Proxies that read the same forward pass share its time, and a combined one takes what
        its parts took."""
        return self._frames.seconds

    @cached_property
    def features(self) -> pd.DataFrame:
        """See the attributes of the class."""
        import pandas as pd

        return pd.DataFrame(index=range(len(self))) if self._features is None else self._features()

    @cached_property
    def violations(self) -> pd.Series[float]:
        """Per candidate how far it is outside its windows, see
        `tvtfast.scoring.constraints.violations`."""
        return violations(self._frames.values, self.constraints)

    def __getitem__(self, name: str) -> npt.NDArray[np.float64]:
        if name not in self.higher_is_better:
            raise KeyError(
                f"the table has no proxy {name}; it has {', '.join(self.higher_is_better)}"
            )
        with turn():
            if name in self._columns:
                return np.array(self._columns[name](), dtype=np.float64)
        return self._frames.values[name].to_numpy("float64", na_value=np.nan)

    def ranked_columns(self, names: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Some columns of candidates inside the constraints (NaN for the others), and which of
        their entries are estimates. No other column is computed for them."""
        import pandas as pd

        if self.constraints or self.race or self._made is not None or set(names) - {*self._columns}:
            inside = self._frames.values[list(names)].where(self.violations == 0)
            return inside, self.status[list(names)] == "partial"
        values = pd.DataFrame({name: self[name] for name in names})
        return values, pd.DataFrame(False, index=values.index, columns=values.columns)

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_made": self._frames, "_make": None, "_columns": {}}

    @property
    def limits(self) -> dict[str, Window]:
        """`constraints`, as it was called before."""
        warnings.warn(
            "ScoreTable.limits is called constraints now", DeprecationWarning, stacklevel=2
        )
        return self.constraints

    def to_pandas(self) -> pd.DataFrame:
        """A copy of the values: ``arch`` (canonical JSON, or the name of a module), ``params``,
        ``flops`` (two per multiply-add), ``macs`` (multiply-adds), one column per proxy, NaN where
        the status is ``nan``, ``unsupported``, ``error`` or ``oom``, and with several weight draws
        the deviation ``<proxy>_std`` beside the mean."""
        return self._frames.values.copy()

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
        return self._frames.values[list(proxies)].astype("float64")

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
        """Write values, statuses and reasons as Parquet; all of it or nothing.

        Raises:
            ModuleNotFoundError: pyarrow is not installed: ``pip install 'tvtfast[parquet]'``.
        """
        need("pyarrow", "14", what="ScoreTable.to_parquet", extra="parquet")
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
        return len(self.candidates)

    def __repr__(self) -> str:
        trouble = self.trouble()
        return (
            f"ScoreTable({len(self)} candidates{', ' if trouble else ''}{trouble or ''})\n"
            + repr(self._frames.values)
            + "".join(f"\n{line}" for line in (*self.fallbacks, *self.notes))
        )


def integer_columns(values: pd.DataFrame) -> pd.DataFrame:
    """Parameter counts and FLOPs as integers; missing ones stay missing."""
    return values.astype({name: "Int64" for name in METRICS if name in values})
