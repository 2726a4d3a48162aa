"""Combining proxies."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import tvtfast
from tvtfast.scoring.ranking import METHODS, combine
from tvtfast.scoring.table import ScoreTable

UP = {"a": True, "b": True}


def table(columns, higher=None):
    values = pd.DataFrame({"arch": [str(i) for i in range(len(columns["a"]))], **columns})
    status = pd.DataFrame({name: np.where(pd.isna(v), "nan", "ok") for name, v in columns.items()})
    return ScoreTable(
        values,
        status,
        status.replace({"ok": "", "nan": "why"}),
        candidates=list(values["arch"]),
        higher_is_better=higher or dict.fromkeys(columns, True),
        scored=list(columns),
    )


def test_methods_by_hand():
    frame = pd.DataFrame({"a": [0.0, 1.0, 4.0], "b": [30.0, 10.0, 20.0]})
    expected = {
        "minmax_sum": [0 + 1, 0.25 + 0, 1 + 0.5],
        "rank_sum": [1 + 3, 2 + 1, 3 + 2],
        "product": [0, 0, 0.5],
        "zscore_sum": (stats.zscore(frame["a"]) + stats.zscore(frame["b"])).tolist(),
        "log_rank_sum": [math.log(1 / 3), math.log(2 / 3 * 1 / 3), math.log(2 / 3)],
    }
    assert set(expected) == set(METHODS)
    for method, values in expected.items():
        assert combine(frame, UP, method).tolist() == pytest.approx(values), method


def test_direction_and_missing_cells():
    frame = pd.DataFrame({"a": [1.0, 2.0, np.nan, np.inf], "b": [5.0, 6.0, 7.0, 8.0]})
    scores = combine(frame, {"a": False, "b": True})
    assert scores.tolist()[:2] == [1.0, 1.0]
    assert scores.isna().tolist() == [False, False, True, True]


@pytest.mark.parametrize("method", [*METHODS, lambda frame: frame["a"] + frame["b"]])
@settings(max_examples=30, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.integers(-9, 9), st.integers(-9, 9), st.booleans()), min_size=1, max_size=12
    )
)
def test_estimates_never_rank_above_complete_scores(method, rows):
    frame = pd.DataFrame(rows, columns=["a", "b", "estimated"])
    scores, estimated = frame[["a", "b"]].astype(float), frame["estimated"]
    partial = pd.DataFrame({"a": estimated, "b": False})
    combined = combine(scores, UP, method, partial)
    assert combined.notna().all()
    if estimated.any() and not estimated.all():
        assert combined[estimated].max() < combined[~estimated].min()


def test_estimates_take_no_part_in_scaling():
    frame = pd.DataFrame({"a": [0.0, 4.0, 2.0, 100.0, -50.0], "b": [0.0, 1.0, 0.0, 1.0, 0.5]})
    partial = pd.DataFrame({"a": [False, False, False, True, True], "b": False})
    scores = combine(frame, UP, "minmax_sum", partial)
    assert scores.tolist()[:3] == [0.0, 2.0, 0.5]
    assert scores[3] == np.nextafter(0, -1) and scores[4] == -50 / 4 + 0.5


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=30, deadline=None)
@given(
    values=st.lists(st.tuples(st.integers(-99, 99), st.integers(-99, 99)), min_size=1, max_size=12),
    seed=st.integers(0, 99),
)
def test_scores_follow_the_candidates(method, values, seed):
    """Permuting the population permutes its scores; shifting and scaling a proxy changes none."""
    frame = pd.DataFrame(values, columns=["a", "b"], dtype=float)
    scores = combine(frame, UP, method)
    order = np.random.default_rng(seed).permutation(len(frame))
    pd.testing.assert_series_equal(combine(frame.iloc[order], UP, method), scores.iloc[order])
    affine = combine(frame * [2.0, 4.0] + [8.0, -16.0], UP, method)
    np.testing.assert_allclose(affine, scores, rtol=1e-9, atol=1e-9)


def test_constant_columns_contribute_nothing():
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 3.0]})
    for method in ("minmax_sum", "zscore_sum"):
        assert combine(frame, UP, method).rank().tolist() == [1, 2]


def test_functions_are_methods():
    def first_only(frame):
        return frame["a"].to_numpy()

    scores = tvtfast.rank(table({"a": [1.0, np.nan, 3.0], "b": [1.0, 2.0, 3.0]}), first_only)
    assert scores.name == "first_only"
    assert scores[[0, 2]].tolist() == [1.0, 3.0] and np.isnan(scores[1])
    with pytest.raises(ValueError, match="returned 1 scores for 2 candidates"):
        tvtfast.rank(table({"a": [1.0, 2.0]}), lambda frame: [1.0])


def test_unknown_names():
    scores = table({"a": [1.0, 2.0]})
    with pytest.raises(ValueError, match="unknown method 'sum'; known: minmax_sum, rank_sum"):
        tvtfast.rank(scores, "sum")
    with pytest.raises(ValueError, match="has no proxy z; it has a"):
        tvtfast.rank(scores, proxies=["z"])
    with pytest.raises(ValueError, match="no proxy to combine"):
        tvtfast.rank(scores, proxies=[])
