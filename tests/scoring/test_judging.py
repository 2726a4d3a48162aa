"""What a score adds to the size of a candidate, what choosing by it gains, and what it costs."""

from __future__ import annotations

import time
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import tvtfast
from tvtfast.data import frozen_batch, load_vit_bench
from tvtfast.scoring.agreement import Sample
from tvtfast.scoring.budget import Windows, precision
from tvtfast.scoring.partial import partial_tau
from tvtfast.scoring.table import ScoreTable

SPACE = tvtfast.spaces.get("autoformer-tiny")
GIVEN = "tau_given_params"


def table(columns, depth=None, **attributes):
    values = pd.DataFrame({"arch": [str(i) for i in range(len(columns["params"]))], **columns})
    status = pd.DataFrame({name: np.where(pd.isna(v), "nan", "ok") for name, v in columns.items()})
    return ScoreTable(
        values,
        status,
        status.replace({"ok": "", "nan": "why"}),
        candidates=list(values["arch"]),
        higher_is_better=dict.fromkeys(columns, True),
        scored=list(columns),
        features=None if depth is None else lambda: pd.DataFrame({"depth": depth}, dtype=float),
        **attributes,
    )


def row_of(frame, proxy):
    return frame.set_index("proxy").loc[proxy]


def kendall(x, y):
    return stats.kendalltau(x, y).statistic


def slow_partial(x, y, *held):
    """From the inverse of the matrix of taus."""
    columns = (x, y, *held)
    inverse = np.linalg.inv([[kendall(a, b) for a in columns] for b in columns])
    return -inverse[0, 1] / np.sqrt(inverse[0, 0] * inverse[1, 1])


@pytest.fixture
def columns():
    """Scores, accuracies, parameters and depth with ties in all of them."""
    rng = np.random.default_rng(0)
    depth = rng.integers(12, 15, size=60)
    params = depth * 100 + rng.integers(0, 40, size=60) * 5
    scores = np.round(params / 50 + rng.normal(size=60) * 4)
    accuracies = np.round(params / 100 + depth + scores / 9 + rng.normal(size=60), 1)
    return [column.astype(float) for column in (scores, accuracies, params, depth)]


def test_coefficients_of_resamples_equal_scipy_on_the_rows(columns):
    x, y = columns[:2]
    sample = Sample(60, 5, 3)
    sample.add("x", x)
    sample.add("y", y)
    drawn = np.random.default_rng(3).integers(60, size=(5, 60))
    for place, rows in enumerate([np.arange(60), *drawn]):
        a, b = x[rows], y[rows]
        assert sample.tau("x", "y")[place] == pytest.approx(kendall(a, b), abs=1e-12)
        assert sample.rho("x", "y")[place] == pytest.approx(stats.spearmanr(a, b)[0], abs=1e-12)
        assert sample.r("x", "y")[place] == pytest.approx(stats.pearsonr(a, b)[0], abs=1e-12)


def test_a_large_sample_is_computed_in_blocks(monkeypatch, columns):
    monkeypatch.setattr("tvtfast.scoring.agreement._BLOCK", 60 * 7)
    sample = Sample(60, 2, 0)
    for name, column in zip("xy", columns[:2], strict=True):
        sample.add(name, column)
    assert sample.tau("x", "y")[0] == pytest.approx(kendall(*columns[:2]), abs=1e-12)
    assert sample.rho("x", "y")[0] == pytest.approx(stats.spearmanr(*columns[:2])[0], abs=1e-12)


def test_partial_tau_is_that_of_the_inverted_matrix(columns):
    x, y, params, depth = columns
    frame = tvtfast.correlate(table({"params": params, "a": x}, depth), {"acc": y}, n_resamples=9)
    found = row_of(frame, "a")
    assert found[GIVEN] == pytest.approx(slow_partial(x, y, params), abs=1e-12)
    both = f"{GIVEN}_depth"
    assert found[both] == pytest.approx(slow_partial(x, y, params, depth), abs=1e-12)
    assert found[f"{GIVEN}_reason"] == found[f"{both}_reason"] == ""
    drawn = np.random.default_rng(0).integers(60, size=(9, 60))
    slow = [slow_partial(x[rows], y[rows], params[rows]) for rows in drawn]
    ends = [found[f"{GIVEN}_low"], found[f"{GIVEN}_high"]]
    assert ends == pytest.approx(np.quantile(slow, [0.025, 0.975]), abs=1e-12)


def test_a_partial_tau_that_is_not_defined_says_why(columns):
    x, y, params, depth = columns
    given = {"acc": y, "size": params}
    frame = tvtfast.correlate(table({"params": params, "a": x}, depth), given, n_resamples=3)
    reasons = frame.set_index(["proxy", "truth"])
    assert np.isnan(reasons.loc[("params", "acc"), GIVEN])
    told = reasons[f"{GIVEN}_reason"]
    assert told["params", "acc"] == "the scores and params are one ranking"
    assert told["a", "size"] == "the accuracies and params are one ranking"
    told = reasons[f"{GIVEN}_depth_reason"]
    assert told["depth", "acc"] == "given params, the scores and depth are one ranking"
    for other, expected in (
        (None, "the table has no depth of its candidates"),
        (np.full(60, 12), "all 60 candidates have the same depth"),
        (-params, "depth and params are one ranking"),
        (np.where(depth > 13, np.nan, depth), "candidates have no depth"),
    ):
        scored = table({"params": params, "a": x}, other)
        found = row_of(tvtfast.correlate(scored, {"acc": y}, n_resamples=3), "a")
        assert np.isnan(found[f"{GIVEN}_depth"]) and not np.isnan(found[GIVEN])
        assert expected in found[f"{GIVEN}_depth_reason"]


def test_lower_is_better_is_the_same_question(columns):
    x, y, params, depth = columns
    scored = table({"params": params, "a": x, "b": -x}, depth)
    scored.higher_is_better["b"] = False
    frame = tvtfast.correlate(scored, {"acc": y}, n_resamples=9)
    assert row_of(frame, "a").equals(row_of(frame, "b"))


def window_gain(scores, accuracies, params):
    """Gain, share, number of windows and reason, of the candidates themselves."""
    windows = Windows(params, np.ones((1, len(params)), np.float32))
    found = windows.gain("x", scores, "y", accuracies)
    return found.gain[0], found.share[0], len(windows), found.reason


def slow_gain(scores, accuracies, params):
    """In exact arithmetic, a window at a time."""
    gains, possible = [], []
    for limit in sorted(set(params)):
        inside = [i for i, p in enumerate(params) if Fraction(85, 100) * int(limit) <= p <= limit]
        if len(inside) < 5:
            continue
        best = max(scores[i] for i in inside)
        picked = [accuracies[i] for i in inside if scores[i] == best]
        known = [accuracies[i] for i in inside]
        gains.append(np.mean(picked) - np.mean(known))
        possible.append(max(known) - np.mean(known))
    return np.mean(gains), np.sum(gains) / np.sum(possible), len(gains)


def test_gain_inside_a_budget_is_that_of_the_windows(columns):
    x, y, params, _ = columns
    expected = slow_gain(x, y, params)
    assert expected[2] > 20
    assert window_gain(x, y, params)[:3] == pytest.approx(expected)
    frame = tvtfast.correlate(table({"params": params, "a": x}), {"acc": y}, n_resamples=1)
    names = ["gain", "gain_share", "windows"]
    assert row_of(frame, "a")[names].tolist() == pytest.approx(list(expected))
    assert row_of(frame, "params")[names].tolist() == pytest.approx(
        list(slow_gain(params, y, params))
    )


def test_gains_at_the_ends():
    params = np.array([100.0] * 5 + [200.0] * 4)
    accuracies = np.arange(9.0)
    assert window_gain(accuracies, accuracies, params) == (2.0, 1.0, 1, "")
    assert window_gain(-accuracies, accuracies, params)[:2] == (-2.0, -1.0)
    assert window_gain(np.zeros(9), accuracies, params)[:2] == (0.0, 0.0)
    gain, _, windows, reason = window_gain(accuracies[3:], accuracies[3:], params[3:])
    assert np.isnan(gain) and windows == 0 and "no limit has 5 candidates" in reason
    gain, share, _, reason = window_gain(accuracies, np.ones(9), params)
    assert gain == 0 and np.isnan(share) and "accuracies are equal" in reason


@pytest.mark.parametrize("tied", [True, False])
def test_gains_of_resamples_are_those_of_their_rows(columns, tied):
    """The windows stay; what a resample does not hold is not there, what it holds twice counts
    twice."""
    x, y, params, _ = columns
    x = x if tied else x + np.arange(60) / 1000
    drawn = np.random.default_rng(4).integers(60, size=(8, 60))
    times = np.array([np.bincount(rows, minlength=60) for rows in drawn], np.float32)
    windows = Windows(params, times)
    found = windows.gain("x", x, "y", y)
    for place, rows in enumerate(drawn):
        gains, possible = [], []
        for limit in np.unique(params):
            inside = (params >= 0.85 * limit) & (params <= limit)
            held = rows[inside[rows]]
            if inside.sum() < 5 or not len(held):
                continue
            best = held[x[held] == x[held].max()]
            gains.append(y[best].mean() - y[held].mean())
            possible.append(y[held].max() - y[held].mean())
        assert found.gain[place] == pytest.approx(np.mean(gains))
        assert found.share[place] == pytest.approx(np.sum(gains) / np.sum(possible))


def test_many_limits_are_taken_evenly():
    params = np.linspace(100, 200, 400)
    windows = Windows(params, np.ones((1, 400), np.float32))
    assert len(windows) == 100
    limits = [params[rows].max() for rows in windows._members]
    assert limits[-1] == 200 and np.ptp(np.diff(limits)) < 0.6
    found = windows.gain("x", params, "y", params)
    assert found.share[0] == 1


def test_precision_shares_places_among_equals():
    values = np.arange(20.0)
    assert precision(values, values, 5) == 1 and precision(-values, values, 5) == 0
    assert precision(np.zeros(20), values, 5) == pytest.approx(5 / 20)
    halves = np.where(values >= 18, 2.0, np.where(values >= 14, 1.0, 0.0))
    assert precision(halves, values, 4) == pytest.approx((2 + 2 * 2 / 4) / 4)
    assert precision(values[::-1], halves, 4) == 0


def test_precision_of_too_few_says_so():
    values = np.arange(10.0)
    scored = table({"params": values})
    found = tvtfast.correlate(scored, {"acc": values}, n_resamples=1).iloc[0]
    assert np.isnan(found["precision"])
    assert found["precision_reason"] == "10 candidates, more than 10 are needed"
    found = tvtfast.correlate(scored, {"acc": values}, n_resamples=1, top_k=3).iloc[0]
    assert found["precision"] == 1 and found["precision_k"] == 3
    with pytest.raises(ValueError, match="top_k"):
        tvtfast.correlate(scored, {"acc": values}, top_k=0)


def test_agreement_of_draws_and_cost():
    rng = np.random.default_rng(1)
    values, drawn = np.arange(12.0), rng.normal(size=(3, 12))
    frames = {"params": values, "a": drawn.mean(axis=0)}
    scored = table(frames)
    scored._made = scored._made._replace(draws={"a": drawn}, seconds={"a": 0.5, "params": np.nan})
    frame = tvtfast.correlate(scored, {"acc": values}, n_resamples=1)
    found, other = row_of(frame, "a"), row_of(frame, "params")
    pairs = [kendall(drawn[i], drawn[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert found["draw_tau"] == pytest.approx(np.mean(pairs)) and found["draws"] == 3
    assert found["seconds"] == 0.5 and found["seconds_reason"] == ""
    assert np.isnan(other["seconds"]) and "does not know" in other["seconds_reason"]
    assert np.isnan(other["draw_tau"]) and "weight draw" in other["draw_tau_reason"]


def test_a_scored_table_knows_draws_and_times(tmp_path):
    archs = SPACE.sample(6, 0)
    arguments = {"space": SPACE, "proxies": ("weight_norm",), "patch_size": 16}
    both = tvtfast.score(archs, **arguments, init_seeds=2, store=tmp_path / "s.sqlite")
    single = [tvtfast.score(archs, **arguments, seed=seed)["weight_norm"] for seed in (0, 1)]
    assert np.array_equal(both.draws["weight_norm"], single) and list(both.draws) == ["weight_norm"]
    assert both.seconds["weight_norm"] > 0 and both.seconds["params"] > 0
    again = tvtfast.score(archs, **arguments, init_seeds=2, store=tmp_path / "s.sqlite")
    assert again.seconds["weight_norm"] == pytest.approx(both.seconds["weight_norm"])
    found = row_of(tvtfast.correlate(both, {"acc": range(6)}, n_resamples=1), "weight_norm")
    assert found["draw_tau"] == pytest.approx(kendall(*single)) and found["seconds"] > 0


def test_a_hundred_candidates_take_seconds():
    rng = np.random.default_rng(0)
    names = ["params", *(f"proxy_{index}" for index in range(10))]
    scored = table({name: rng.normal(size=100) for name in names}, rng.integers(12, 15, size=100))
    truth = {f"t{index}": rng.normal(size=100) for index in range(6)}
    started = time.process_time()
    frame = tvtfast.correlate(scored, truth)
    assert time.process_time() - started < 10  # 0.3 s where the machine is quiet
    assert len(frame) == 12 * 6 and frame["tau_given_params_low"].notna().sum() == 11 * 6


def test_what_is_known_of_vit_bench(shared_data):
    """Depth ranks better than any score on distilled CIFAR-100, and adds to the size."""
    rows = load_vit_bench(shared_data / "vit_bench_101_dev.json", "autoformer")
    scored = tvtfast.score(
        rows["arch"], space=SPACE.name, proxies=("weight_norm",), num_classes=100
    )
    frame = tvtfast.correlate(scored, rows.drop(columns="arch"), n_resamples=200)
    cell = frame.set_index(["proxy", "truth"])
    for truth, depth, norm in (
        ("c100_kd_acc", 0.61, 0.31),
        ("flower_kd_acc", 0.20, 0.28),
        ("chaoyang_kd_acc", -0.01, 0.01),
    ):
        assert cell.loc[("depth", truth), GIVEN] == pytest.approx(depth, abs=0.006)
        assert cell.loc[("weight_norm", truth), GIVEN] == pytest.approx(norm, abs=0.015)
    assert cell.loc[("depth", "c100_kd_acc"), "tau"] == pytest.approx(0.67, abs=0.005)
    assert cell.loc[("params", "c100_kd_acc"), "tau"] == pytest.approx(0.55, abs=0.005)
    assert cell.loc[("depth", "c100_kd_acc"), f"{GIVEN}_low"] > 0.5
    params = [SPACE.params(arch, num_classes=100) for arch in rows["arch"]]
    for truth in ("c100_kd_acc", "flower_kd_acc"):
        expected = slow_gain(scored["weight_norm"], rows[truth].to_numpy(), params)
        found = cell.loc[("weight_norm", truth), ["gain", "gain_share", "windows"]]
        assert found.tolist() == pytest.approx(list(expected))


def test_partial_tau_by_hand():
    """(1/3 - 0 (-1/3)) / sqrt(1 - 1/9): three of six pairs of ranks of four."""
    taus = {("x", "y"): 1 / 3, ("x", "z"): 0.0, ("y", "z"): -1 / 3}
    found = partial_tau(lambda a, b: np.array([taus[min(a, b), max(a, b)]]), "x", "y", "z")
    assert found.values[0] == pytest.approx((1 / 3) / np.sqrt(1 - 1 / 9)) and found.reason == ""


def test_a_combination_has_the_draws_of_its_parts(teacher):
    archs = SPACE.sample(5, 1)
    arguments = {
        "space": SPACE,
        "proxies": ("tvt",),
        "teacher": teacher,
        "images": frozen_batch("digits", 2),
        "patch_size": 16,
    }
    both = tvtfast.score(archs, **arguments, init_seeds=2)
    single = [tvtfast.score(archs, **arguments, seed=seed)["tvt"] for seed in (0, 1)]
    assert both.draws["tvt"] == pytest.approx(np.array(single))
    found = row_of(tvtfast.correlate(both, {"acc": range(5)}, n_resamples=1), "tvt")
    assert found["draws"] == 2 and found["draw_tau"] == pytest.approx(kendall(*single))
    parts = ("teacher_aware", "weight_norm")
    assert found["seconds"] == pytest.approx(sum(both.seconds[part] for part in parts))


def test_tau_over_params_is_a_difference_on_the_same_resamples(columns):
    x, y, params, _ = columns
    frame = tvtfast.correlate(table({"params": params, "a": x}), {"acc": y}, n_resamples=9)
    found = row_of(frame, "a")
    assert found["tau_over_params"] == pytest.approx(kendall(x, y) - kendall(params, y), abs=1e-12)
    drawn = np.random.default_rng(0).integers(60, size=(9, 60))
    slow = [kendall(x[rows], y[rows]) - kendall(params[rows], y[rows]) for rows in drawn]
    ends = [found["tau_over_params_low"], found["tau_over_params_high"]]
    assert ends == pytest.approx(np.quantile(slow, [0.025, 0.975]), abs=1e-12)
    assert found["tau_over_params_reason"] == ""
    own = row_of(frame, "params")
    assert own["tau_over_params"] == own["tau_over_params_high"] == 0
    unknown = np.where(params > params.mean(), np.nan, params)
    scored = table({"params": unknown, "a": x})
    found = row_of(tvtfast.correlate(scored, {"acc": y}, n_resamples=3), "a")
    assert np.isnan(found["tau_over_params"]) and "no params" in found["tau_over_params_reason"]
