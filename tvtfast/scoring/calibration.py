"""From a few trained candidates to accuracies that all others can be expected to reach."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from tvtfast.common import checks
from tvtfast.common.accuracies import is_accuracy
from tvtfast.data.truth_file import ARCH
from tvtfast.scoring.averaged_regression import Posterior, fit
from tvtfast.scoring.calibration_columns import (
    Array,
    Column,
    choose_columns,
    design,
    median_spread,
    raw_columns,
    score_names,
)
from tvtfast.spaces import Constraints, describe_windows, parse_windows

if TYPE_CHECKING:
    import pandas as pd

    from tvtfast.scoring.table import ScoreTable

LEAST = 3
"""Trained candidates that a calibration takes."""
_PRIORS = ("weight_norm", "params")
_CLIP = 2.5
"""Robust deviations beyond which an accuracy counts as one that is that far away."""
_FAILED = 6.0
"""Robust deviations below the median from which on a training counts as failed, if it has not even
half of the median."""
_CAN_FAIL = 5
"""Trained candidates from which on a failed one can be told."""
_UNCHANGED = 0.25
"""Weight of the prior alone from which on the trained are said to be too few to change it."""

Trained: TypeAlias = "Mapping[int, float] | pd.DataFrame"


@dataclass(frozen=True)
class Calibration:
    """What some trained candidates tell of all others; made by `tvtfast.calibrate`.

    A prediction depends on its candidate alone, so predictions of several tables compare.

    Args:
        columns: What is combined, the prior first.
        posterior: Intercept and slopes over the columns.
        center: Accuracy that the intercept starts from: the median of the trained.
        scale: Accuracy of one unit: their standard deviation, with those far away drawn in.
        trained: Accuracy by architecture.
        set_aside: Architectures among them whose training counts as failed.
        determined_by: Per score what it depends on beside the candidate, as in
            `tvtfast.ScoreTable.determined_by`.
        notes: What is to be known about it.
    """

    columns: tuple[Column, ...]
    posterior: Posterior
    center: float
    scale: float
    trained: Mapping[str, float]
    set_aside: tuple[str, ...]
    determined_by: Mapping[str, Mapping[str, Any]]
    notes: tuple[str, ...]

    @property
    def prior(self) -> str:
        """The column whose ranking it starts from."""
        return self.columns[0].name

    @property
    def prior_alone(self) -> float:
        """Weight, in 0..1, of the models that follow the prior alone."""
        return self.posterior.prior_alone

    @property
    def changed(self) -> bool:
        """Whether what was trained speaks for anything beside the prior."""
        return self.prior_alone < _UNCHANGED

    @property
    def scores(self) -> tuple[str, ...]:
        """The columns of a table that it needs."""
        return tuple(column.name for column in self.columns if column.kind != "feature")

    @cached_property
    def slopes(self) -> dict[str, float]:
        """Accuracy that one standard deviation of a column brings, all other columns equal."""
        own = self.posterior.mean[1:].copy()
        own[0] -= sum(
            slope * column.explained
            for slope, column in zip(own[1:], self.columns[1:], strict=True)
        )
        return {
            column.name: float(slope) * self.scale
            for column, slope in zip(self.columns, own, strict=True)
        }

    def predict(self, table: ScoreTable) -> Array:
        """Accuracy that every candidate can be expected to reach.

        Args:
            table: Scores of candidates of the same space, with the columns in `scores`, made with
                the same settings.

        Returns:
            float64 ``[rows]``; NaN where a candidate misses a score.

        Raises:
            ValueError: A column is missing, or was scored with other settings.
        """
        return self.combine(self._scores_of(table), table.features)

    def interval(self, table: ScoreTable, confidence: float = 0.9) -> Array:
        """Where a training of every candidate ends with a given probability.

        Quantiles are those of Student's t: the spread of accuracies is that of few.

        Args:
            table: As for `predict`.
            confidence: That probability.

        Returns:
            float64 ``[rows, 2]``, lower and upper end; NaN where a candidate misses a score.

        Raises:
            ValueError: As of `predict`, or a confidence that is not between 0 and 1.
        """
        from scipy.special import stdtrit

        confidence = checks.real("confidence", confidence, above=0.0, below=1.0)
        rows = self._rows(self._scores_of(table), table.features)
        deviation = np.sqrt(self._variance(rows) + self.posterior.noise)
        freedom = len(self.trained) - len(self.set_aside) - 1
        half = float(stdtrit(freedom, 0.5 + confidence / 2)) * deviation
        mean = rows @ self.posterior.mean
        return self.center + self.scale * np.column_stack([mean - half, mean + half])

    def next_to_train(
        self, table: ScoreTable, k: int, budget: Constraints | None = None
    ) -> list[int]:
        """Which candidates to train next: those of the largest expected improvement over the one
        that is predicted best, each after what the training of those before it will have told, so
        that no two tell the same.

        Args:
            table: As for `predict`.
            k: How many.
            budget: Windows of columns of the table, such as ``{"params": (None, 6e6)}``.

        Returns:
            Rows of the table, the most informative first; none was trained, all are inside the
            budget.

        Raises:
            ValueError: As of `predict`, an unknown column, or fewer than ``k`` such candidates.
        """
        k = checks.whole("k", k, least=1)
        rows = self._rows(self._scores_of(table), table.features)
        open_ = self._inside(table, budget) & np.isfinite(rows).all(axis=1)
        open_ &= [label not in self.trained for label in _labels(table)]
        if open_.sum() < k:
            where = f" with {describe_windows(parse_windows(budget))}" if budget else ""
            raise ValueError(
                f"k is {k}, and {open_.sum()} candidates{where} have scores and were not trained; "
                "score more, widen the budget, or ask for fewer"
            )
        candidates = np.flatnonzero(open_)
        rows = rows[candidates]
        ahead = rows @ self.posterior.mean
        ahead -= ahead.max()
        covariance = self.posterior.covariance
        chosen: list[int] = []
        for _ in range(k):
            expected = _improvement(ahead, np.sqrt(_quadratic(rows, covariance)))
            expected[chosen] = -math.inf
            best = int(np.lexsort([-ahead, -expected])[0])
            chosen.append(best)
            told = covariance @ rows[best]
            covariance = covariance - np.outer(told, told) / (
                rows[best] @ told + self.posterior.noise
            )
        return [int(candidates[place]) for place in chosen]

    def combine(self, scores: Mapping[str, Array], features: pd.DataFrame) -> Array:
        """`predict` from columns.

        Args:
            scores: ``[n]`` of every name in `scores`.
            features: Closed-form features, a row per candidate.
        """
        return self.center + self.scale * (self._rows(scores, features) @ self.posterior.mean)

    def refuse_other_scores(self, determined_by: Mapping[str, Mapping[str, Any]]) -> None:
        """Check that scores are on the scale of those that it was fitted to; the device may be
        another.

        Args:
            determined_by: What the scores depend on, as in `determined_by`.

        Raises:
            ValueError: One depends on something else.
        """
        for name in self.scores:
            if name not in self.determined_by or name not in determined_by:
                continue
            mine, other = _plain(self.determined_by[name]), _plain(determined_by[name])
            differ = sorted(
                key
                for key in (mine.keys() | other.keys()) - {"device"}
                if mine.get(key) != other.get(key)
            )
            if differ:
                raise ValueError(
                    f"the calibration was fitted to {name} of other {', '.join(differ)}; score "
                    "with the same settings, or calibrate again"
                )

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write ``calibration.json`` into a folder, which is made; all of it or nothing.

        The proxy ``calibrated:FOLDER`` reads it.
        """
        from tvtfast.scoring.calibration_file import save

        return save(self, folder)

    @staticmethod
    def load(folder: str | os.PathLike[str]) -> Calibration:
        """Read what `save` wrote: the folder, or the file in it.

        Raises:
            FileNotFoundError: There is none.
            BadFileError: It is damaged, or of a later version.
        """
        from tvtfast.scoring.calibration_file import load

        return load(folder)

    def _scores_of(self, table: ScoreTable) -> dict[str, Array]:
        missing = [name for name in self.scores if name not in table.higher_is_better]
        if missing:
            raise ValueError(
                f"the table has no {', '.join(missing)}, of which the calibration is made; score "
                f"with proxies {', '.join(name for name in self.scores if name != 'params')}"
            )
        features = [column.name for column in self.columns if column.kind == "feature"]
        unknown = [name for name in features if name not in table.features]
        if unknown:
            raise ValueError(
                f"the candidates have no {', '.join(unknown)}, of which the calibration is made; "
                "score architectures of the space that it was fitted in"
            )
        self.refuse_other_scores(table.determined_by)
        return {name: table[name] for name in self.scores}

    def _rows(self, scores: Mapping[str, Array], features: pd.DataFrame) -> Array:
        columns = design(raw_columns(scores, features), self.columns)
        return np.column_stack([np.ones(len(columns)), columns])

    def _variance(self, rows: Array) -> Array:
        return _quadratic(rows, self.posterior.covariance)

    def _inside(self, table: ScoreTable, budget: Constraints | None) -> Any:
        inside = np.ones(len(table), dtype=bool)
        for name, (low, high) in parse_windows(budget).items():
            if name not in table.higher_is_better:
                raise ValueError(
                    f"budget limits {name!r}, which is no column of the table; it has "
                    f"{', '.join(table.higher_is_better)}"
                )
            values = table[name]
            inside &= (values >= low) & (values <= high)
        return inside


def calibrate(
    table: ScoreTable,
    trained: Trained,
    *,
    column: str | None = None,
    prior: str | None = None,
) -> Calibration:
    """Fit what candidates can be expected to reach to a few that were trained.

    Accuracy is a line over the prior, corrected by at most two of the other columns at a time:
    scores, the parameter count, and depth, width and their like in closed form. All such models
    are averaged, with weights by how well each foretells some trained candidates from others,
    so that few candidates, or such as contradict each other, leave the ranking of the prior. An
    accuracy far from the median of the trained counts as one 2.5 robust deviations away, and one
    more than 6 below and under half of the median is set aside as a failed training.

    Args:
        table: Scores of the trained candidates and of others: all of them set the scale, so give a
            population. Every column that was scored is used.
        trained: Accuracy by row of the table; or a frame with a column ``arch`` of canonical JSON,
            as `tvtfast.load_truth` and `tvtfast.collect_truth` give it, where rows without a value
            were not trained.
        column: The column of such a frame; default the only one of accuracies.
        prior: The column whose ranking is where it starts; default ``weight_norm``, or ``params``
            in a table without it.

    Raises:
        ValueError: Fewer than 3 trained candidates with all scores, equal accuracies, an unknown
            row, architecture or column, a value that is no finite number, or a prior that tells no
            candidates apart.
    """
    found = _by_row(table, trained, column)
    prior = _prior(table, prior)
    scores = {name: table[name] for name in score_names(table, prior)}
    raw = raw_columns(scores, table.features)
    columns, left_out = choose_columns(raw, table.higher_is_better, prior)
    matrix = design(raw, columns)
    rows = np.array([row for row in found if np.isfinite(matrix[row]).all()], dtype=int)
    notes = [f"left out: {what}" for what in left_out]
    if len(rows) < len(found):
        lacking = ", ".join(str(row) for row in found if row not in rows)
        notes.append(f"trained rows that miss a score are left out: {lacking}")
    if len(rows) < LEAST:
        raise ValueError(
            f"{len(rows)} trained candidates have all scores; {LEAST} are needed: train more, or "
            "leave out the proxies that miss values"
        )
    accuracies = np.array([found[row] for row in rows])
    failed = _failed(accuracies)
    labels = _labels(table)
    if failed.any():
        told = ", ".join(f"row {row} ({found[row]:g})" for row in rows[failed])
        notes.append(f"set aside as failed trainings, far below all others: {told}")
    center, scale = median_spread(accuracies[~failed])
    if not scale > 0:
        raise ValueError(
            f"all {len(rows)} accuracies are {center:g}; train candidates that differ more"
        )
    targets = np.clip((accuracies[~failed] - center) / scale, -_CLIP, _CLIP)
    unit = float(targets.std(ddof=1))  # a median of few deviations is known half as well
    targets, scale = targets / unit, scale * unit
    return Calibration(
        columns,
        fit(matrix[rows[~failed]], targets),
        center,
        scale,
        {labels[row]: float(found[row]) for row in rows},
        tuple(labels[row] for row in rows[failed]),
        {name: table.determined_by[name] for name in scores if name in table.determined_by},
        tuple(notes),
    )


def _by_row(table: ScoreTable, trained: Trained, column: str | None) -> dict[int, float]:
    """Accuracies by row of the table, in its order."""
    import pandas as pd

    if isinstance(trained, pd.DataFrame):
        return _of_frame(table, trained, column)
    if column is not None:
        raise ValueError(f"column is {column!r}, and trained is no frame; leave it out")
    if not isinstance(trained, Mapping):
        raise TypeError(
            f"trained is a {type(trained).__name__}; give {{row: accuracy}}, or a frame of truth"
        )
    rows = {checks.whole("a row of trained", row): value for row, value in trained.items()}
    wrong = [row for row in rows if not 0 <= row < len(table)]
    if wrong:
        raise ValueError(
            f"trained has row {wrong[0]}, and the table has rows 0 to {len(table) - 1}"
        )
    return {row: checks.real(f"trained[{row}]", rows[row]) for row in sorted(rows)}


def _of_frame(table: ScoreTable, frame: pd.DataFrame, column: str | None) -> dict[int, float]:
    if ARCH not in frame:
        raise ValueError(
            f"trained has no column {ARCH!r}; give a frame of tvtfast.load_truth, or "
            "{row: accuracy}"
        )
    chosen = accuracy_column([str(name) for name in frame.columns], column)
    known = {label: row for row, label in enumerate(_labels(table))}
    found = {}
    for place, (arch, value) in enumerate(zip(frame[ARCH], frame[chosen], strict=True)):
        if value is None or value != value:  # not trained
            continue
        if arch not in known:
            raise ValueError(
                f"trained row {place}: {ARCH} is {str(arch)[:80]!r}, which is no candidate of the "
                "table; score it, too, or leave it out"
            )
        if known[arch] in found:
            raise ValueError(f"trained row {place} has an architecture of an earlier row")
        found[known[arch]] = checks.real(f"trained row {place}, {chosen},", value)
    return dict(sorted(found.items()))


def accuracy_column(names: Sequence[str], column: str | None = None) -> str:
    """The column of truth that is meant.

    Raises:
        ValueError: There is no such column, or not just one of accuracies.
    """
    others = [name for name in names if name != ARCH]
    if column is not None:
        if column not in others:
            raise ValueError(
                f"column is {column!r}, which the truth does not have; it has {', '.join(others)}"
            )
        return column
    accuracies = [name for name in others if is_accuracy(name)] or others
    if len(accuracies) != 1:
        raise ValueError(
            f"column is not given, and the truth has {', '.join(accuracies) or 'none'}; name one"
        )
    return accuracies[0]


def _prior(table: ScoreTable, prior: str | None) -> str:
    if prior is None:
        return next(name for name in _PRIORS if name in table.higher_is_better)
    if prior not in table.higher_is_better:
        raise ValueError(
            f"prior is {prior!r}, which is no column of the table; it has "
            f"{', '.join(table.higher_is_better)}"
        )
    return prior


def _failed(accuracies: Array) -> Any:
    center, spread = median_spread(accuracies)
    if len(accuracies) < _CAN_FAIL or not spread > 0:
        return np.zeros(len(accuracies), dtype=bool)
    return accuracies < min(center / 2, center - _FAILED * spread)


def _labels(table: ScoreTable) -> list[str]:
    labels: list[str] = table.to_pandas()[ARCH].tolist()
    return labels


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON knows them, which has no tuples."""
    plain: dict[str, Any] = json.loads(json.dumps(dict(settings)))
    return plain


def _quadratic(rows: Array, covariance: Array) -> Array:
    return np.maximum(((rows @ covariance) * rows).sum(axis=1), 0.0)


def _improvement(ahead: Array, deviation: Array) -> Array:
    """Expected improvement over 0 of normal variables.

    Source: Jones, Schonlau and Welch, Efficient Global Optimization (1998), eq. 15.
    """
    from scipy.special import ndtr

    safe = np.where(deviation > 0, deviation, 1.0)
    ratio = ahead / safe
    density = np.exp(-0.5 * ratio**2) / math.sqrt(2 * math.pi)
    return np.where(deviation > 0, ahead * ndtr(ratio) + safe * density, np.maximum(ahead, 0.0))
