"""How proxies are judged by candidates of known accuracy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import tvtfast
from tvtfast.scoring.table import ScoreTable


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


def test_correlate_equals_scipy_and_orients():
    rng = np.random.default_rng(0)
    accuracy = rng.normal(size=40)
    noisy = accuracy + rng.normal(size=40)
    scores = table({"a": noisy, "b": -noisy}, {"a": True, "b": False})
    frame = tvtfast.correlate(scores, {"acc": accuracy}, n_resamples=50)
    first, second = frame.iloc[0], frame.iloc[1]
    assert first["tau"] == pytest.approx(stats.kendalltau(noisy, accuracy).statistic)
    assert first["rho"] == pytest.approx(stats.spearmanr(noisy, accuracy).statistic)
    assert first["r"] == pytest.approx(stats.pearsonr(noisy, accuracy).statistic)
    assert first.drop("proxy").equals(second.drop("proxy"))
    for name in ("tau", "rho", "r"):
        assert first[f"{name}_low"] < first[name] < first[f"{name}_high"]


def test_intervals_cover_the_truth():
    """Of 40 samples from a population with known rho, most 90 % intervals hold it."""
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(40):
        x, noise = rng.normal(size=(2, 60))
        frame = tvtfast.correlate(
            table({"a": x}), {"acc": x + noise}, confidence=0.9, n_resamples=100
        )
        hits += frame["r_low"][0] <= np.sqrt(0.5) <= frame["r_high"][0]
    assert hits >= 30


def test_missing_scores_are_left_out():
    frame = tvtfast.correlate(
        table({"a": [1.0, 2.0, np.nan, 4.0]}), {"acc": [1.0, 2.0, 0.0, 3.0]}, n_resamples=20
    )
    assert frame["n"][0] == 3 and frame["tau"][0] == pytest.approx(1.0)
    constant = tvtfast.correlate(table({"a": [1.0, 1.0, 1.0]}), {"acc": [1.0, 2.0, 3.0]})
    assert np.isnan(constant["tau"][0])


def test_truth_of_another_length():
    with pytest.raises(ValueError, match="2 rows and 1 columns for a table of 3 candidates"):
        tvtfast.correlate(table({"a": [1.0, 2.0, 3.0]}), {"acc": [1.0, 2.0]})
    with pytest.raises(ValueError, match="confidence=2"):
        tvtfast.correlate(table({"a": [1.0]}), {"acc": [1.0]}, confidence=2)


def test_missing_accuracies_are_left_out_of_their_column_alone():
    rng = np.random.default_rng(2)
    few = {"n_resamples": 40}
    scores, full = rng.normal(size=(2, 30))
    known = rng.random(30) < 0.4
    sparse = np.where(known, full, np.nan)
    both = tvtfast.correlate(table({"a": scores}), {"full": full, "sparse": sparse}, **few)
    alone = tvtfast.correlate(table({"a": scores[known]}), {"sparse": full[known]}, **few)
    assert both["n"].tolist() == [30, known.sum()] and known.sum() < 20
    # value and interval are those of the candidates that were trained, and no others
    assert both.iloc[1].equals(alone.iloc[0])
    assert both.iloc[0].equals(
        tvtfast.correlate(table({"a": scores}), {"full": full}, **few).iloc[0]
    )


def test_a_coefficient_that_is_missing_has_a_reason():
    nan = np.nan
    frame = tvtfast.correlate(
        table({"a": [1.0, 2.0, 3.0, 4.0], "b": [1.0] * 4}),
        {
            "few": [nan, 1.0, nan, 2.0],
            "none": [None] * 4,
            "flat": [5.0] * 4,
            "good": [1.0, 3.0, 2.0, 4.0],
        },
        n_resamples=9,
    )
    assert frame.set_index(["proxy", "truth"])["reason"].to_dict() == {
        ("a", "few"): "2 candidates have score and accuracy, 3 are needed",
        ("a", "none"): "0 candidates have score and accuracy, 3 are needed",
        ("a", "flat"): "all 4 accuracies are equal",
        ("a", "good"): "",
        ("b", "few"): "2 candidates have score and accuracy, 3 are needed",
        ("b", "none"): "0 candidates have score and accuracy, 3 are needed",
        ("b", "flat"): "all 4 scores are equal",
        ("b", "good"): "all 4 scores are equal",
    }
    assert frame["tau"].notna().tolist() == (frame["reason"] == "").tolist()


def test_rows_are_found_by_architecture():
    scores = table({"a": [1.0, 2.0, 3.0, 4.0]})
    truth = pd.DataFrame(
        {"space": "x", "arch": ["3", "0", "2"], "epochs": [9, 9, 9], "kd_acc": [4.0, 1.0, 3.0]}
    )
    frame = tvtfast.correlate(scores, truth, n_resamples=9)
    assert frame[["truth", "n", "tau"]].to_numpy().tolist() == [["kd_acc", 3, pytest.approx(1.0)]]
    plain = truth.drop(columns=["kd_acc", "epochs"]).assign(cifar=[4.0, 1.0, 3.0])
    assert tvtfast.correlate(scores, plain, n_resamples=9)["truth"].tolist() == ["cifar"]
    with pytest.raises(ValueError, match="truth row 1: arch is '7', which is no candidate"):
        tvtfast.correlate(scores, truth.assign(arch=["3", "7", "2"]))
    with pytest.raises(ValueError, match="truth row 2 has an architecture of an earlier row"):
        tvtfast.correlate(scores, truth.assign(arch=["3", "0", "3"]))


@pytest.mark.parametrize(
    ("accuracies", "message"),
    [
        ([1.0, "x", 2.0], "truth column 'acc' holds no numbers"),
        ([1.0, np.inf, 2.0], "truth column 'acc' is infinite in row 1"),
    ],
)
def test_truth_that_is_no_number_is_refused(accuracies, message):
    with pytest.raises(ValueError, match=message):
        tvtfast.correlate(table({"a": [1.0, 2.0, 3.0]}), {"acc": accuracies})
