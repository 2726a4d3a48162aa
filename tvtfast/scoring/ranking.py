"""Combine proxies over a population."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from tvtfast.common.callers import caller_level
from tvtfast.common.names import did_you_mean, unknown
from tvtfast.scoring.judged import SizeRanksBetterWarning, judgement

if TYPE_CHECKING:
    import pandas as pd

    from tvtfast.scoring.table import ScoreTable

Method: TypeAlias = "str | Callable[[pd.DataFrame], pd.Series[float]]"

ADVICE = (
    "score several candidates in one call, or give relative_to=, a ScoreTable of earlier scores or "
    "(to Scorer and score) a number of architectures to draw from the space"
)
"""What to do where candidates cannot be compared with each other."""


def _minmax(frame: pd.DataFrame, sure: pd.DataFrame, flat: float) -> pd.DataFrame:
    span = sure.max() - sure.min()
    return ((frame - sure.min()) / span.where(span > 0)).fillna(flat)


def _minmax_sum(frame: pd.DataFrame, scale: Scale) -> pd.Series[float]:
    return _minmax(frame, scale.sure, 0.0).sum(axis=1)


def _zscore_sum(frame: pd.DataFrame, scale: Scale) -> pd.Series[float]:
    deviation = scale.sure.std(ddof=0)
    standard = (frame - scale.sure.mean()) / deviation.where(deviation > 0)
    return standard.fillna(0.0).sum(axis=1)


def _rank_sum(frame: pd.DataFrame, scale: Scale) -> pd.Series[float]:
    return _ranks(frame, scale).sum(axis=1)


def _log_rank_sum(frame: pd.DataFrame, scale: Scale) -> pd.Series[float]:
    return np.log(_ranks(frame, scale) / len(scale.everyone)).sum(axis=1)


def _ranks(frame: pd.DataFrame, scale: Scale) -> pd.DataFrame:
    """The average rank that a value has, or would have, among all; 1 is the lowest."""
    ranks = frame.copy()
    for column in frame:
        among = np.sort(scale.everyone[column].to_numpy())
        below, not_above = (among.searchsorted(frame[column], side) for side in ("left", "right"))
        ranks[column] = (below + not_above + 1) / 2
    return ranks


def _product(frame: pd.DataFrame, scale: Scale) -> pd.Series[float]:
    factors = _minmax(frame, scale.sure, 1.0)
    return (factors.clip(lower=0.0) if scale.of_others else factors).prod(axis=1)


@dataclass(frozen=True)
class Scale:
    """What scores are scaled by.

    Args:
        everyone: One row per candidate, one column per proxy, higher is better.
        sure: The same, NaN where a score is an estimate.
        of_others: Whether they are others than those that are scaled.
    """

    everyone: pd.DataFrame
    sure: pd.DataFrame
    of_others: bool


_METHODS: Mapping[str, Callable[[pd.DataFrame, Scale], pd.Series[float]]] = {
    "minmax_sum": _minmax_sum,
    "rank_sum": _rank_sum,
    "zscore_sum": _zscore_sum,
    "product": _product,
    "log_rank_sum": _log_rank_sum,
}
METHODS = tuple(_METHODS)


def combine(
    frame: pd.DataFrame,
    higher_is_better: Mapping[str, bool],
    method: Method = "minmax_sum",
    partial: pd.DataFrame | None = None,
    reference: pd.DataFrame | None = None,
) -> pd.Series[float]:
    """One score per row from several columns; higher is better.

    Columns where lower is better are negated first. Rows with a missing or infinite entry take no
    part and get NaN. A column without spread contributes nothing, so all scores are equal where no
    column has any: see `incomparable`.

    Args:
        frame: One column per proxy.
        higher_is_better: Direction of each column.
        method: ``minmax_sum`` (each column scaled to 0..1, added), ``rank_sum`` (average ranks,
            added), ``zscore_sum`` (standardised, added), ``product`` (scaled to 0..1, multiplied),
            ``log_rank_sum`` (logarithms of average ranks over the number of candidates, added, so
            that one low rank weighs more than several high ones; AZ-NAS, CVPR 2024), or a function
            of the oriented frame that returns one value per row.
        partial: Which entries are estimates, of candidates that went out of a race. They take no
            part in scaling, and a row with one stays below every row without.
        reference: Scores of other candidates, with the same columns; scales and ranks are theirs,
            so that a score depends on no other row of ``frame``, and a row of ``reference`` itself
            gets the score that it has among them. Values beyond theirs get scores beyond theirs,
            but a factor of ``product`` is never below 0.

    Raises:
        ValueError: An unknown method, no column, a function with ``reference``, or a function
            returning the wrong length.
    """
    import pandas as pd

    if not len(frame.columns):
        raise ValueError("there is no proxy to combine; name at least one")
    check_method(method)
    usable = _usable(frame, higher_is_better)
    rough = (
        pd.DataFrame(False, index=usable.index, columns=usable.columns)
        if partial is None
        else partial.loc[usable.index, usable.columns]
    )
    if isinstance(method, str):
        scale = Scale(usable, usable.mask(rough), of_others=False)
        if reference is not None:
            others = _usable(reference[frame.columns], higher_is_better)
            scale = Scale(others, others, of_others=True)
        scores, name = _METHODS[method](usable, scale), method
    else:
        if reference is not None:
            raise ValueError(
                "the combined score is a function of your own, which scales as it likes; leave "
                "relative_to out, or name a method"
            )
        scores, name = method(usable), getattr(method, "__name__", "score")
        if len(scores) != len(usable):
            raise ValueError(
                f"{name} returned {len(scores)} scores for {len(usable)} candidates; one each is "
                "needed"
            )
        scores = _series(scores, usable.index)
    estimated = rough.any(axis=1)
    if estimated.any() and not estimated.all():
        ceiling = np.nextafter(scores[~estimated].min(), -np.inf)
        scores = scores.where(~estimated, scores.clip(upper=ceiling))
    return scores.reindex(frame.index).rename(name)


def check_method(method: Method) -> None:
    """Refuse a name that is no method.

    Raises:
        ValueError: The message lists those there are.
    """
    if not callable(method) and method not in METHODS:
        raise ValueError(unknown("method", method, METHODS, also="a function"))


def incomparable(frame: pd.DataFrame, reference: pd.DataFrame | None = None) -> str | None:
    """Why `combine` can tell no candidate from another; ``None`` where it can, or has none.

    Args:
        frame: One column per proxy.
        reference: Scores of other candidates that they are scaled by.
    """
    directions = dict.fromkeys(frame.columns, True)
    if not len(_usable(frame, directions)):
        return None
    whose = "" if reference is None else " of relative_to"
    scale = _usable(frame if reference is None else reference[frame.columns], directions)
    if not len(scale):
        return f"no candidate{whose} has all these scores"
    if len(scale) == 1:
        return f"one candidate{whose} is compared with no other"
    if (scale.max() == scale.min()).all():
        return f"all {len(scale)} candidates{whose} have equal scores"
    return None


def _usable(frame: pd.DataFrame, higher_is_better: Mapping[str, bool]) -> pd.DataFrame:
    """Complete rows, higher is better."""
    signs = [1.0 if higher_is_better[column] else -1.0 for column in frame.columns]
    oriented = frame.astype("float64") * signs
    return oriented[np.isfinite(oriented).all(axis=1)]


def rank(
    table: ScoreTable,
    method: Method = "minmax_sum",
    proxies: Sequence[str] | None = None,
    *,
    relative_to: ScoreTable | None = None,
) -> pd.Series[float]:
    """Combined score of every candidate of a table; the best is ``rank(table).idxmax()``.

    Scores of one table compare among themselves; those of several, such as of candidates that were
    scored one at a time, compare where all are relative to one other table. What a ranking is worth
    where accuracies are known, beside the parameter count, tells `tvtfast.judgement`; where the
    parameter count ranks better, `SizeRanksBetterWarning` says so, once per line that calls.

    Args:
        table: Scores of a population.
        method: See `combine`.
        proxies: Columns to combine; default all that were scored, without the baselines ``params``
            and ``flops`` and without combinations such as ``tvt``.
        relative_to: Scores of other candidates that these are scaled by; default those that the
            table was scored relative to, if any.

    Returns:
        One value per row, in the order and with the index of the table; NaN where a candidate
        misses a score or is outside a constraint. Candidates that went out of a race rank below all
        others: their scores are estimates, and at most that of the last of the others.

    Raises:
        ValueError: An unknown method or column, one candidate alone without ``relative_to``, or a
            ``relative_to`` that was scored otherwise, or in which no candidate differs from
            another.
    """
    chosen = _columns(table, proxies)
    others = table.reference if relative_to is None else relative_to
    reference = None if others is None else others.values_for(table, chosen)
    if isinstance(method, str) and (reference is not None or len(table) == 1):
        check_method(method)
        why = incomparable(table.ranked_columns(chosen)[0], reference)
        if why is not None:
            raise ValueError(f"{' and '.join(chosen)} cannot be combined: {why}; {ADVICE}")
    judged = None if table.space is None else judgement(table.space, chosen, method)
    if judged is not None and judged.warning:
        warnings.warn(judged.warning, SizeRanksBetterWarning, stacklevel=caller_level())
    return rank_population(table, method, proxies, reference)


def rank_population(
    table: ScoreTable,
    method: Method = "minmax_sum",
    proxies: Sequence[str] | None = None,
    reference: pd.DataFrame | None = None,
) -> pd.Series[float]:
    """`rank` of all that there is: a candidate that is alone is the first. It does not warn: for
    callers who tell a judgement themselves.

    Raises:
        ValueError: An unknown method or column.
    """
    chosen = _columns(table, proxies)
    inside, partial = table.ranked_columns(chosen)
    return combine(inside, table.higher_is_better, method, partial, reference)


def _columns(table: ScoreTable, proxies: Sequence[str] | None) -> list[str]:
    chosen = list(table.scored if proxies is None else proxies)
    missing = [name for name in chosen if name not in table.higher_is_better]
    if missing:
        known = ", ".join(table.higher_is_better)
        raise ValueError(
            f"the table has no proxy {', '.join(missing)}; it has {known}"
            f"{did_you_mean(missing[0], table.higher_is_better)}"
        )
    return chosen


def _series(values: Any, index: pd.Index[Any]) -> pd.Series[float]:
    import pandas as pd

    return pd.Series(np.asarray(values, dtype="float64"), index=index)
