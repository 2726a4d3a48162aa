"""What a few trained candidates tell of all others, on populations of known truth."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import tvtfast
from tvtfast import Calibration
from tvtfast.common.foreign import BadFileError
from tvtfast.scoring.averaged_regression import _NOISES, fit
from tvtfast.scoring.table import ScoreTable

N = 120


def population(seed=0, **columns):
    """A table with a weight norm, a score without use, and a depth that follows neither."""
    rng = np.random.default_rng(seed)
    norm, depth = rng.normal(size=N), rng.integers(10, 15, N).astype(float)
    scores = {
        "params": np.round(np.exp(15 + 0.3 * norm + 0.1 * rng.normal(size=N))),
        "weight_norm": 500 + 20 * norm,
        "teacher_aware": rng.normal(size=N),
    } | columns
    values = pd.DataFrame({"arch": [f"arch {row}" for row in range(N)], **scores})
    status = pd.DataFrame({name: np.where(np.isnan(v), "nan", "ok") for name, v in scores.items()})
    return ScoreTable(
        values,
        status,
        status.replace({"ok": "", "nan": "why"}),
        candidates=list(values["arch"]),
        higher_is_better=dict.fromkeys(scores, True),
        scored=[name for name in scores if name != "params"],
        features=lambda: pd.DataFrame({"depth": depth, "depth_sum": depth}),
    )


def standard(values):
    return (values - values.mean()) / values.std()


def accuracies(table, seed, prior=0.6, depth=0.0, noise=0.4):
    rng = np.random.default_rng([seed, 1])
    told = prior * standard(table["weight_norm"]) + depth * standard(table.features["depth"])
    return 70 + 3 * (told.to_numpy() + noise * rng.normal(size=N))


def draws(n, count=12, **truth):
    """Tables, what was trained of them, and Kendall's tau of calibration and prior on the rest."""
    gains = []
    for seed in range(count):
        table = population(seed)
        accuracy = accuracies(table, seed, **truth)
        rows = np.random.default_rng([seed, 2]).permutation(N)
        calibration = tvtfast.calibrate(table, {row: accuracy[row] for row in rows[:n]})
        rest = rows[n:]
        tau = stats.kendalltau(calibration.predict(table)[rest], accuracy[rest]).statistic
        prior = stats.kendalltau(table["weight_norm"][rest], accuracy[rest]).statistic
        gains.append((tau - prior, calibration))
    return np.array([gain for gain, _ in gains]), [calibration for _, calibration in gains]


def test_signal_beside_the_prior_is_found():
    few, _ = draws(10, prior=0.5, depth=0.7)
    more, calibrations = draws(20, prior=0.5, depth=0.7)
    assert few.mean() > 0.12 and more.mean() > 0.22
    assert more.min() > 0
    assert all(calibration.changed for calibration in calibrations)
    slopes = pd.DataFrame([calibration.slopes for calibration in calibrations]).mean()
    assert slopes["depth"] == pytest.approx(3 * 0.7, abs=0.4)
    assert slopes["weight_norm"] + slopes["params"] == pytest.approx(3 * 0.5, abs=0.4)
    assert abs(slopes["teacher_aware"]) < 0.2


def test_without_signal_the_prior_stays():
    gains, calibrations = draws(10, prior=0.8)
    assert gains.mean() > -0.02 and np.quantile(gains, 0.05) > -0.1
    assert np.mean([not calibration.changed for calibration in calibrations]) > 0.8
    noise, _ = draws(10, prior=0.3, noise=1.0)
    assert noise.mean() > -0.04


def test_three_trained_leave_the_ranking_of_the_prior():
    table = population()
    accuracy = accuracies(table, 0)
    calibration = tvtfast.calibrate(table, {0: accuracy[0], 1: accuracy[1], 2: accuracy[2]})
    assert not calibration.changed and calibration.prior == "weight_norm"
    tau = stats.kendalltau(calibration.predict(table), table["weight_norm"]).statistic
    assert tau > 0.75


@pytest.mark.parametrize("n", [10, 20])
def test_one_failed_training_changes_little(n):
    table = population()
    accuracy = accuracies(table, 0, prior=0.5, depth=0.7)
    trained = {row: accuracy[row] for row in range(n)}
    clean = tvtfast.calibrate(table, trained)
    failed = tvtfast.calibrate(table, trained | {4: 1.0})
    assert failed.set_aside == ("arch 4",) and clean.set_aside == ()
    assert any("row 4 (1)" in note for note in failed.notes)
    assert np.abs(failed.predict(table) - clean.predict(table)).mean() < 0.6
    assert stats.kendalltau(failed.predict(table), clean.predict(table)).statistic > 0.85
    assert failed.predict(table).min() > 55


def test_a_poor_training_that_is_no_failure_counts_as_one_that_is_less_poor():
    table = population()
    accuracy = accuracies(table, 0, prior=0.5, depth=0.7)
    trained = {row: accuracy[row] for row in range(20)}
    some = tvtfast.calibrate(table, trained | {4: 45.0})
    more = tvtfast.calibrate(table, trained | {4: 50.0})
    assert some.set_aside == ()
    assert np.array_equal(some.predict(table), more.predict(table))


def test_intervals_cover():
    inside, widths = [], []
    for seed in range(12):
        table = population(seed)
        accuracy = accuracies(table, seed, prior=0.5, depth=0.7)
        calibration = tvtfast.calibrate(table, {row: accuracy[row] for row in range(12)})
        low, high = calibration.interval(table, 0.9)[12:].T
        inside.append(np.mean((low <= accuracy[12:]) & (accuracy[12:] <= high)))
        widths.append(np.mean(high - low))
        narrow = calibration.interval(table, 0.5)
        assert (narrow[:, 0] > calibration.interval(table, 0.9)[:, 0]).all()
        middle = calibration.interval(table, 0.9).mean(axis=1)
        assert middle == pytest.approx(calibration.predict(table))
    assert 0.85 <= np.mean(inside) <= 0.99
    assert np.mean(widths) < 4 * np.std(accuracy)


def test_intervals_of_few_are_wider():
    table = population()
    accuracy = accuracies(table, 0)
    few, many = (tvtfast.calibrate(table, {i: accuracy[i] for i in range(n)}) for n in (4, 40))
    for calibration, freedom in ((few, 3), (many, 39)):
        middle = calibration.predict(table)
        wide, narrow = (calibration.interval(table, c)[:, 1] - middle for c in (0.9, 0.5))
        ratio = stats.t.ppf(0.95, freedom) / stats.t.ppf(0.75, freedom)
        assert wide / narrow == pytest.approx(np.full(N, ratio))


def test_predictions_depend_on_the_candidate_alone():
    """A table of some of the candidates gives them the values that they have among all."""
    whole = population()
    accuracy = accuracies(whole, 0, depth=0.7)
    calibration = tvtfast.calibrate(whole, {row: accuracy[row] for row in range(12)})
    frame, status = whole.to_pandas(), whole.status
    part = ScoreTable(
        frame.iloc[40:45].reset_index(drop=True),
        status.iloc[40:45],
        status.iloc[40:45],
        candidates=whole.candidates[40:45],
        higher_is_better=whole.higher_is_better,
        scored=whole.scored,
        features=lambda: whole.features.iloc[40:45],
    )
    assert np.array_equal(calibration.predict(part), calibration.predict(whole)[40:45])


def test_a_score_of_which_lower_is_better_counts_the_other_way():
    table = population()
    accuracy = accuracies(table, 0, depth=0.7)
    trained = {row: accuracy[row] for row in range(12)}
    norm = table["weight_norm"]
    other = population(weight_norm=1000 - norm)
    other.higher_is_better["weight_norm"] = False
    first, second = tvtfast.calibrate(table, trained), tvtfast.calibrate(other, trained)
    assert second.predict(other) == pytest.approx(first.predict(table))


def test_weights_of_models_equal_refitting():
    """Each observation foretold from those before it: their product is the marginal likelihood."""
    rng = np.random.default_rng(3)
    columns, targets = rng.normal(size=(7, 1)), rng.normal(size=7)
    design = np.column_stack([np.ones(7), columns])
    start, covariance = np.array([0.0, 0.7]), np.diag([0.25, 0.09])
    logs, means = [], []
    for noise in _NOISES:
        log = 0.0
        for left in range(7):
            kept = np.arange(7) < left
            outer = design[kept] @ covariance @ design[kept].T + noise * np.eye(left)
            gain = covariance @ design[kept].T @ np.linalg.inv(outer)
            mean = start + gain @ (targets[kept] - design[kept] @ start)
            spread = covariance - gain @ design[kept] @ covariance
            variance = design[left] @ spread @ design[left] + noise
            log += stats.norm.logpdf(targets[left], design[left] @ mean, math.sqrt(variance))
        outer = design @ covariance @ design.T + noise * np.eye(7)
        means.append(
            start + covariance @ design.T @ np.linalg.solve(outer, targets - design @ start)
        )
        logs.append(log)
    weights = np.exp(np.array(logs) - max(logs))
    weights /= weights.sum()
    found = fit(columns, targets)
    assert found.mean == pytest.approx(weights @ np.array(means))
    assert found.noise == pytest.approx(weights @ _NOISES)
    assert found.prior_alone == pytest.approx(1.0)


def test_next_to_train_is_inside_the_budget_new_and_diverse():
    table = population()
    accuracy = accuracies(table, 0, depth=0.7)
    calibration = tvtfast.calibrate(table, {row: accuracy[row] for row in range(10)})
    limit = float(np.median(table["params"]))
    chosen = calibration.next_to_train(table, 6, {"params": limit})
    assert len(set(chosen)) == 6 and min(chosen) >= 10
    assert (table["params"][chosen] <= limit).all()
    predicted = calibration.predict(table)
    inside = [row for row in range(10, N) if table["params"][row] <= limit]
    best = sorted(inside, key=lambda row: -predicted[row])
    assert np.mean(predicted[chosen]) > np.mean(predicted[inside])
    assert set(chosen) != set(best[:6]), "some tell more than the next best"
    assert chosen == calibration.next_to_train(table, 6, {"params": limit})
    assert chosen[:2] == calibration.next_to_train(table, 2, {"params": limit})


def test_next_to_train_says_what_is_missing():
    table = population()
    calibration = tvtfast.calibrate(table, {row: float(row) for row in range(5)})
    with pytest.raises(ValueError, match="k is 4, and 0 candidates with params in"):
        calibration.next_to_train(table, 4, {"params": (None, 1.0)})
    with pytest.raises(ValueError, match="budget limits 'parms', which is no column"):
        calibration.next_to_train(table, 1, {"parms": (None, 1.0)})
    with pytest.raises(ValueError, match="k is 0"):
        calibration.next_to_train(table, 0)


def test_a_frame_of_truth_is_read_by_architecture():
    table = population()
    accuracy = accuracies(table, 0)
    frame = pd.DataFrame(
        {
            "arch": ["arch 7", "arch 3", "arch 5", "arch 9", "arch 1"],
            "mine_acc": [accuracy[7], accuracy[3], accuracy[5], math.nan, accuracy[1]],
            "epochs": 3,
        }
    )
    by_frame = tvtfast.calibrate(table, frame)
    by_row = tvtfast.calibrate(table, {row: accuracy[row] for row in (7, 3, 5, 1)})
    assert by_frame.trained == by_row.trained and len(by_frame.trained) == 4
    assert np.array_equal(by_frame.predict(table), by_row.predict(table))
    frame["other_acc"] = 1.0
    with pytest.raises(ValueError, match="column is not given, and the truth has mine_acc, other"):
        tvtfast.calibrate(table, frame)
    named = tvtfast.calibrate(table, frame, column="mine_acc")
    assert named.trained == by_row.trained
    with pytest.raises(ValueError, match="column is 'x_acc', which the truth does not have"):
        tvtfast.calibrate(table, frame, column="x_acc")
    with pytest.raises(ValueError, match="row 0: arch is 'nowhere', which is no candidate"):
        tvtfast.calibrate(table, frame.assign(arch=["nowhere"] * 5), column="mine_acc")
    with pytest.raises(ValueError, match="row 1 has an architecture of an earlier row"):
        tvtfast.calibrate(table, frame.assign(arch=["arch 7"] * 5), column="mine_acc")


@pytest.mark.parametrize(
    ("trained", "message"),
    [
        ({0: 70.0, 1: 71.0}, "2 trained candidates have all scores; 3 are needed"),
        ({0: 70.0, 1: 71.0, N: 72.0}, f"trained has row {N}, and the table has rows 0 to {N - 1}"),
        ({-1: 70.0, 1: 71.0, 2: 72.0}, "trained has row -1"),
        ({0: 70.0, 1: math.nan, 2: 72.0}, r"trained\[1\] is nan; give a number"),
        ({0: 70.0, 1: "72", 2: 72.0}, r"trained\[1\] is '72'; give a number"),
        ({0.5: 70.0, 1: 71.0, 2: 72.0}, "a row of trained is 0.5; give a whole number"),
        ({0: 70.0, 1: 70.0, 2: 70.0}, "all 3 accuracies are 70"),
    ],
)
def test_bad_input_is_refused(trained, message):
    with pytest.raises(ValueError, match=message):
        tvtfast.calibrate(population(), trained)


def test_unknown_priors_and_other_types_are_refused():
    trained = {row: float(row) for row in range(5)}
    with pytest.raises(ValueError, match="prior is 'wight_norm', which is no column"):
        tvtfast.calibrate(population(), trained, prior="wight_norm")
    with pytest.raises(ValueError, match="prior is 'weight_norm', of which the candidates have no"):
        tvtfast.calibrate(population(weight_norm=np.ones(N)), trained)
    with pytest.raises(TypeError, match="trained is a list; give"):
        tvtfast.calibrate(population(), [70.0, 71.0, 72.0])
    with pytest.raises(ValueError, match="column is 'acc', and trained is no frame"):
        tvtfast.calibrate(population(), trained, column="acc")
    with pytest.raises(ValueError, match="confidence is 1"):
        tvtfast.calibrate(population(), trained).interval(population(), 1.0)


def test_what_is_left_out_is_said():
    score = np.random.default_rng(0).normal(size=N)
    score[[2, 50]] = math.nan
    table = population(teacher_aware=score, naswot=np.full(N, 3.0))
    calibration = tvtfast.calibrate(table, {row: float(row) for row in range(6)})
    assert "left out: naswot is the same in all candidates" in calibration.notes
    assert "trained rows that miss a score are left out: 2" in calibration.notes
    assert len(calibration.trained) == 5
    assert np.flatnonzero(np.isnan(calibration.predict(table))).tolist() == [2, 50]
    by_params = tvtfast.calibrate(table, {row: float(row) for row in range(6)}, prior="params")
    assert by_params.prior == "params" and "params" in by_params.slopes


def test_other_tables_are_refused():
    table = population()
    calibration = tvtfast.calibrate(table, {row: float(row) for row in range(6)})
    other = population()
    other.higher_is_better.pop("teacher_aware")
    with pytest.raises(ValueError, match="the table has no teacher_aware, of which"):
        calibration.predict(other)
    bare = population()
    bare._features = None
    with pytest.raises(ValueError, match="the candidates have no depth, of which"):
        calibration.predict(bare)


def test_save_and_load(tmp_path):
    table = population()
    accuracy = accuracies(table, 0, depth=0.7)
    calibration = tvtfast.calibrate(table, {row: accuracy[row] for row in range(10)} | {3: 1.0})
    path = calibration.save(tmp_path / "a" / "b")
    for given in (path, path.parent):
        loaded = Calibration.load(given)
        assert np.array_equal(loaded.predict(table), calibration.predict(table))
        assert np.array_equal(loaded.interval(table), calibration.interval(table))
        assert (loaded.trained, loaded.set_aside) == (calibration.trained, calibration.set_aside)
        assert loaded.next_to_train(table, 3) == calibration.next_to_train(table, 3)
    again = tvtfast.calibrate(table, {row: accuracy[row] for row in range(10)} | {3: 1.0})
    assert again.save(tmp_path / "c").read_bytes() == path.read_bytes()
    with pytest.raises(FileNotFoundError, match="is not there; give a folder that"):
        Calibration.load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"columns": []},
        {"mean": [1.0]},
        {"mean": [math.nan] * 5},
        {"noise": 0.0},
        {"noise": "1"},
        {"scale": -1.0},
        {"prior_alone": 2.0},
        {"trained": {"arch 1": None}},
        {"trained": {"arch 1": 70.0}},
        {"set_aside": [1]},
        {"set_aside": ["arch 100"]},
        {"set_aside": ["arch 0", "arch 1", "arch 2", "arch 3"]},
        {"covariance": [[-1.0] * 5] * 5},
        {"columns": [{"name": "weight_norm", "kind": "code"}] * 4},
    ],
)
def test_damaged_files_are_refused(change, tmp_path):
    table = population()
    path = tvtfast.calibrate(table, {row: float(row) for row in range(6)}).save(tmp_path)
    content = json.loads(path.read_text())
    assert len(content["mean"]) == 5
    path.write_text(json.dumps(content | change))
    with pytest.raises(BadFileError, match=r"calibration.json cannot be read as a calibration"):
        Calibration.load(tmp_path)


def test_mutated_files_end_in_one_kind_of_error(tmp_path, fuzzing):
    table = population()
    path = tvtfast.calibrate(table, {row: float(row) for row in range(6)}).save(tmp_path)
    found = fuzzing.survey(
        Calibration.load,
        path,
        [b"", b"[]", b"\xff\xfe", *fuzzing.mutations(path.read_bytes(), 150)],
        documented=(BadFileError,),
    )
    assert found["BadFileError"] > 75
