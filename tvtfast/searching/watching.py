"""What there is to see of a search while it works."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tvtfast.common.board import Board
from tvtfast.common.trackers import Tracker
from tvtfast.report import candidate_points
from tvtfast.scoring.glance import Glance
from tvtfast.scoring.ranking import Method, combine
from tvtfast.scoring.scorer import Scorer
from tvtfast.searching.archive import Archive
from tvtfast.spaces import Space

if TYPE_CHECKING:
    import pandas as pd


class SearchView:
    """Candidates, rungs of a race and the course of a search, as its page shows them.

    Args:
        space: What is searched.
        archive: Populations that are scored.
        scorer: Who scores the one that is not.
        method: How proxies are combined.
    """

    def __init__(self, space: Space[Any], archive: Archive, scorer: Scorer, method: Method) -> None:
        self._space, self._archive = space, archive
        self._scorer, self._method = scorer, method

    def on(self, board: Board) -> None:
        """Show all of it."""
        board.offer("candidates", self.candidates)
        board.offer("rungs", self.rungs)
        board.offer("curves", self.curves)

    def candidates(self) -> dict[str, Any] | None:
        """All candidates of the populations that are scored; before there is one, those of the
        population under way; ``None`` before that has begun."""
        if len(self._archive):
            params, scores, estimated, labels = self._archive.seen()
            states = ["out" if one else "scored" for one in estimated]
            return candidate_points(params, scores, states, labels, "score")
        found = self._scorer.glance()
        if found is None or not found.values:
            return None
        return candidate_points(
            found.params.tolist(),
            self._combined(found),
            np.where(found.out, "out", "racing" if found.rungs else "scored").tolist(),
            [self._space.text(arch) for arch in found.candidates],
            "score up to now",
        )

    def rungs(self) -> list[dict[str, int]] | None:
        """Rounds of the race of this moment; ``None`` where there is none."""
        found = self._scorer.glance()
        if found is None or not found.rungs:
            return None
        return [{"images": rung.images, "candidates": rung.candidates} for rung in found.rungs]

    def curves(self) -> dict[str, Any]:
        """Best score and mean of every population, on the scale of this moment."""
        if not len(self._archive):
            return {}
        return trace_curves(self._archive.trace())

    def _combined(self, found: Glance) -> list[float]:
        import pandas as pd

        values = pd.DataFrame(found.values)
        partial = pd.DataFrame(dict.fromkeys(found.values, found.out))
        scores = combine(values, found.higher_is_better, self._method, partial)
        return [float(score) for score in scores]


def trace_curves(trace: pd.DataFrame) -> dict[str, Any]:
    """Lines of a trace over the candidates that were proposed."""
    lines = {"best score": "best", "mean of the population": "mean"}
    return {
        name: {
            "x": trace["evaluations"].tolist(),
            "y": trace[column].tolist(),
            "x_axis": "candidates proposed",
            "y_axis": "score",
        }
        for name, column in lines.items()
    }


def tell(trackers: Sequence[Tracker], trace: pd.DataFrame) -> None:
    """Hand the last population of a trace to those who keep curves, over the candidates that were
    proposed.

    Scores are on the scale of that moment, as in ``trace.csv`` of that moment.
    """
    last = trace.iloc[-1]
    points = {
        str(name): float(value)
        for name, value in last.items()
        if name not in ("generation", "evaluations") and np.isfinite(value)
    }
    for tracker in trackers:
        tracker.add(points, int(last["evaluations"]))
