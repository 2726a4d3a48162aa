"""Everything that a search has seen, ranked as one population."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tvtfast.scoring.ranking import Method, combine
from tvtfast.scoring.table import ScoreTable
from tvtfast.spaces import METRICS, Space
from tvtfast.strategies import Column, Scores

if TYPE_CHECKING:
    import pandas as pd


class Archive:
    """One row per architecture, in the order of first proposal; ranked again with every population.

    Args:
        space: The space that is searched.
        method: How proxies are combined, see `tvtfast.rank`.
    """

    def __init__(self, space: Space[Any], method: Method) -> None:
        self._space, self._method = space, method
        self._rows: dict[str, int] = {}
        self._params: list[float] = []
        self._values: list[npt.NDArray[np.float64]] = []
        self._partial: list[npt.NDArray[np.bool_]] = []
        self._generations: list[tuple[list[int], int, dict[str, float]]] = []
        self._combined: npt.NDArray[np.float64] = np.empty(0)
        self.architectures: list[Any] = []

    def __len__(self) -> int:
        return len(self.architectures)

    def admit(self, population: Iterable[Any]) -> list[Any]:
        """What a strategy proposes, decoded.

        Raises:
            ValueError: An architecture that the space does not search.
        """
        return [self._space.check_inside(arch) for arch in population]

    def add(self, population: list[Any], table: ScoreTable, notes: Mapping[str, float]) -> Scores:
        """Enter a scored population, and tell what its strategy is to know.

        Args:
            population: What the strategy proposed, as `admit` gives it.
            table: Its scores.
            notes: Numbers for its line of the trace.
        """
        frame, scored = table.to_pandas(), list(table.scored)
        inside = frame[scored].where(table.violations == 0)
        partial = (table.status[scored] == "partial").to_numpy()
        rows = []
        params = frame["params"].to_numpy("float64", na_value=np.nan).tolist()
        for arch, values, estimated, size in zip(
            population, inside.to_numpy("float64"), partial, params, strict=True
        ):
            label = self._space.text(arch)
            row = self._rows.setdefault(label, len(self._rows))
            if row == len(self.architectures):
                self.architectures.append(arch)
                self._values.append(values)
                self._partial.append(estimated)
                self._params.append(size)
            else:
                self._values[row], self._partial[row] = values, estimated
            rows.append(row)
        self._combined = self._rank(scored, table.higher_is_better)
        self._generations.append((rows, len(self), dict(notes)))
        columns = {
            name: Column(
                tuple(frame[name].to_numpy("float64", na_value=np.nan).tolist()),
                table.higher_is_better[name],
            )
            for name in dict.fromkeys((*METRICS, *scored))
        }
        combined = self._combined.tolist()
        return Scores(
            [combined[row] for row in rows],
            columns,
            dict(zip(self.architectures, combined, strict=True)),
            table.violations.tolist(),
        )

    def remark(self, **notes: float) -> None:
        """Numbers for the line of the population that was entered last."""
        self._generations[-1][2].update(notes)

    def seen(self) -> tuple[list[float], list[float], list[bool], list[str]]:
        """Parameters, combined score, whether that is an estimate, and text of every architecture,
        in the order of first proposal; it may be asked from another thread."""
        scores = self._combined.tolist()
        rows = len(scores)
        estimated = [bool(partial.any()) for partial in self._partial[:rows]]
        return self._params[:rows], scores, estimated, list(self._rows)[:rows]

    def _rank(
        self, scored: list[str], higher_is_better: Mapping[str, bool]
    ) -> npt.NDArray[np.float64]:
        import pandas as pd

        values = pd.DataFrame(np.array(self._values), columns=scored)
        partial = pd.DataFrame(np.array(self._partial), columns=scored)
        return combine(values, higher_is_better, self._method, partial).to_numpy("float64")

    def trace(self, scores: pd.Series[float] | None = None) -> pd.DataFrame:
        """One row per population: ``generation`` from 1, ``evaluations`` (different architectures
        proposed up to then), ``best`` combined score up to then, ``mean`` of the population, and
        what the strategy noted.

        Args:
            scores: Combined score of every architecture; default those of this moment. All rows are
                on one scale.
        """
        import pandas as pd

        combined = self._combined if scores is None else scores.to_numpy("float64")
        members = [rows for rows, _, _ in self._generations]
        seen = [count for _, count, _ in self._generations]
        best = np.fmax.accumulate(combined)[np.array(seen) - 1]
        flat = combined[np.concatenate([np.array(rows) for rows in members])]
        starts = np.cumsum([0, *map(len, members[:-1])])
        valid = np.isfinite(flat)
        with np.errstate(invalid="ignore"):
            mean = np.add.reduceat(np.where(valid, flat, 0.0), starts) / np.add.reduceat(
                valid.astype("float64"), starts
            )
        return pd.DataFrame(
            {
                "generation": range(1, len(seen) + 1),
                "evaluations": seen,
                "best": best,
                "mean": mean,
            }
        ).join(pd.DataFrame([notes for _, _, notes in self._generations]))
