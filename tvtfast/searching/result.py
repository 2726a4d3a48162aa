"""What a search found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tvtfast.common.cost import Cost
from tvtfast.common.fallbacks import Fallback
from tvtfast.scoring.judged import Judgement
from tvtfast.scoring.table import ScoreTable
from tvtfast.spaces import PUBLISHED, ModelOptions, Space

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class SearchResult:
    """The population of a search, ranked.

    Args:
        space: The space that was searched.
        options: Model options the candidates were scored with.
        table: Scores of all candidates.
        scores: Combined score of every candidate, higher is better, index as in the table.
        order: Rows from best to worst; candidates without a score, or outside a constraint, are
            left out.
        timings: Seconds per stage.
        evaluated: Candidates scored by this call; the others were in the store.
        run_dir: Where everything was written, if anywhere.
        answer: The architecture that the strategy named as its result, where it named one.
        objectives: Columns that the front is about, and whether higher is better.
        front: Rows of the Pareto front of the objectives, best in the first one first.
        trace: One row per population: ``generation``, ``evaluations`` (distinct architectures up to
            then), ``best`` (combined score up to then) and ``mean``, all on the scale of
            ``scores``, and what the strategy noted, such as ``entropy``.
        tables: Further tables of the strategy by name. ``reinforce`` has ``policy``: ``generation``
            (the last one is that of the answer), ``decision``, ``choice``, ``probability``.
        fallbacks: Fast paths that were left on the way, why, and what that cost.
        cost: Wall time, core or GPU hours and peak memory of all starts of the search.
        judgement: What the ranking is worth where accuracies are known, beside the parameter count
            (`tvtfast.judgement`); ``None`` where nobody has judged it, and with weights that are
            inherited.
    """

    space: Space[Any]
    options: ModelOptions
    table: ScoreTable
    scores: pd.Series[float]
    order: tuple[int, ...]
    timings: Mapping[str, float]
    evaluated: int
    run_dir: Path | None
    answer: Any
    objectives: Mapping[str, bool]
    front: tuple[int, ...]
    trace: pd.DataFrame
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    fallbacks: tuple[Fallback, ...] = ()
    cost: Cost = field(default_factory=Cost)
    judgement: Judgement | None = None

    @property
    def best(self) -> Any:
        """The architecture that the strategy named as its result; else the one that ranks first.

        Raises:
            ValueError: No candidate could be scored.
        """
        return self.table.candidates[self.best_row]

    @property
    def best_row(self) -> int:
        """Row of the best architecture in the table."""
        if self.answer is not None:
            return self.table.candidates.index(self.answer)
        if not self.order:
            raise ValueError(
                "no candidate could be ranked; see table.status and table.reasons for why"
            )
        return self.order[0]

    @property
    def better_row(self) -> int | None:
        """Row of the best score, where the strategy answered with a candidate of a lower one."""
        if self.answer is None or not self.order:
            return None
        first, score = self.order[0], float(self.scores[self.best_row])
        return None if score >= float(self.scores[first]) else first

    def describe_best(self) -> dict[str, Any]:
        """The best architecture with all it takes to build it again: ``tvtfast.build(best["arch"],
        space=best["space"], **best["model_options"])``."""
        return self.describe(self.best_row)

    def describe(self, row: int) -> dict[str, Any]:
        """One row of the table in the form of `describe_best`."""
        values = self.table.to_pandas().loc[row]
        limited = {name: float(values[name]) for name in self.table.constraints}
        return {
            "space": self.space.name,
            "arch": self.space.to_dict(self.table.candidates[row]),
            "model_options": asdict(self.options),
            "params": int(values["params"]),
            "flops": int(values["flops"]),
            "macs": int(values["macs"]),
            **self._published(self.table.candidates[row]),
            "score": float(self.scores[row]),
            "proxies": {name: float(values[name]) for name in self.table.scored},
            **({"limited": limited} if limited else {}),
        }

    def _published(self, arch: Any) -> dict[str, int]:
        if not self.space.has_published_flops or len(set(self.options.img_size)) > 1:
            return {}
        return {PUBLISHED: self.space.published_flops_of(arch, self.options)}


def framed(tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, pd.DataFrame]:
    """Tables made of their rows."""
    import pandas as pd

    return {name: pd.DataFrame(rows) for name, rows in tables.items()}


def order_of(table: ScoreTable, scores: pd.Series[float]) -> tuple[int, ...]:
    """Rows with a score from best to worst; equal scores are ordered by architecture, so that the
    order does not depend on the order of proposals."""
    frame = table.to_pandas()[["arch"]].assign(score=scores).dropna(subset=["score"])
    ordered = frame.sort_values(["score", "arch"], ascending=[False, True])
    return tuple(int(row) for row in ordered.index)
