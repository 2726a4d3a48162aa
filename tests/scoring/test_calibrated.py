"""A calibration as a proxy: scored, searched, constrained, refused where it does not fit."""

from __future__ import annotations

import random

import numpy as np
import pandas as pd
import pytest

import tvtfast
from tvtfast import proxies
from tvtfast.common.run_folder import RunError
from tvtfast.proxies import UndefinedScoreError
from tvtfast.spaces import AutoFormerSpace

SPACE = AutoFormerSpace("calibrated-small", (16, 24, 32), (1, 2, 3, 4), (2.0, 3.0, 4.0), (2, 4))
OPTIONS = {"space": SPACE, "img_size": 32, "patch_size": 8, "num_classes": 10}


@pytest.fixture(scope="module")
def archs():
    return list(dict.fromkeys(SPACE.draw(random.Random(seed)) for seed in range(40)))


@pytest.fixture(scope="module")
def table(archs):
    return tvtfast.score(archs, proxies=("weight_norm",), **OPTIONS)


@pytest.fixture(scope="module")
def calibration(table):
    """Of a truth in which depth is good, and nothing else matters."""
    depth = table.features["depth"]
    return tvtfast.calibrate(table, {row: 60.0 + 5 * depth[row] for row in range(0, 36, 3)})


@pytest.fixture(scope="module")
def folder(calibration, tmp_path_factory):
    folder = tmp_path_factory.mktemp("calibrated")
    calibration.save(folder)
    return folder


def test_the_proxy_scores_what_the_calibration_predicts(archs, table, calibration, folder):
    scored = tvtfast.score(archs, proxies=(f"calibrated:{folder}",), **OPTIONS)
    assert scored.scored == ("calibrated",)
    assert np.array_equal(scored["calibrated"], calibration.predict(table))
    assert set(scored.status["calibrated"]) == {"ok"}
    order = np.argsort(calibration.predict(table))
    assert (np.diff(tvtfast.rank(scored).to_numpy()[order]) >= 0).all()
    alone = tvtfast.score(archs[7:8], proxies=(f"calibrated:{folder}",), **OPTIONS)
    assert alone["calibrated"][0] == scored["calibrated"][7]


def test_parts_are_ranked_where_they_are_asked_for(archs, folder):
    both = tvtfast.score(archs[:4], proxies=(f"calibrated:{folder}", "weight_norm"), **OPTIONS)
    assert both.scored == ("weight_norm", "calibrated")
    assert set(both.to_pandas()) >= {"weight_norm", "calibrated", "params"}


def test_evolution_finds_what_is_foretold_to_be_good(folder, tmp_path):
    """Every generation is on one scale, and what was found continues."""
    settings = {key: value for key, value in OPTIONS.items() if key != "space"}
    settings |= {"proxies": (f"calibrated:{folder}",), "strategy": "evolution"}
    found = tvtfast.search(SPACE, trials=60, run_dir=tmp_path / "run", **settings)
    best = found.table.candidates[found.table["calibrated"].argmax()]
    assert found.best == best and best.depth == 4
    again = tvtfast.search(SPACE, trials=60, run_dir=tmp_path / "run", **settings)
    assert again.evaluated == 0 and again.best == best


def test_another_calibration_does_not_go_on_in_the_folder(table, folder, tmp_path):
    settings = {key: value for key, value in OPTIONS.items() if key != "space"}
    where = {"strategy": "random", "trials": 3, "run_dir": tmp_path / "run"}
    tvtfast.search(SPACE, proxies=(f"calibrated:{folder}",), **where, **settings)
    tvtfast.calibrate(table, {row: float(row) for row in range(9)}).save(tmp_path / "other")
    with pytest.raises(RunError, match="calibrated"):
        tvtfast.search(SPACE, proxies=(f"calibrated:{tmp_path / 'other'}",), **where, **settings)


def test_it_can_be_an_objective_and_have_a_window(folder):
    settings = {key: value for key, value in OPTIONS.items() if key != "space"}
    settings |= {"proxies": (f"calibrated:{folder}",), "strategy": "random", "trials": 12}
    found = tvtfast.search(SPACE, objectives=("calibrated", "params"), **settings)
    assert len(found.front) >= 1
    limit = float(np.median(found.table["calibrated"]))
    inside = tvtfast.search(SPACE, constraints={"calibrated": (limit, None)}, **settings)
    assert (inside.table.status["calibrated"] == "infeasible").any()
    settings["proxies"] = ("weight_norm",)
    with pytest.raises(ValueError, match="constrain 'calibrated'"):
        tvtfast.search(SPACE, constraints={f"calibrated:{folder}": (limit, None)}, **settings)


def test_the_exact_strategy_and_races_say_why_not(folder):
    settings = {key: value for key, value in OPTIONS.items() if key != "space"}
    settings |= {"proxies": (f"calibrated:{folder}",)}
    with pytest.raises(ValueError, match=r"calibrated \(made of weight_norm, params, and not a"):
        tvtfast.search(SPACE, strategy="exact", **settings)
    with pytest.raises(ValueError, match="calibrated is made of whole scores, and a race"):
        tvtfast.search(SPACE, strategy="random", racing=True, trials=4, **settings)


def test_scores_of_other_settings_are_refused(archs, calibration, folder):
    with pytest.raises(ValueError, match="fitted to weight_norm of other num_classes"):
        tvtfast.score(archs, proxies=(f"calibrated:{folder}",), **OPTIONS | {"num_classes": 7})
    other = tvtfast.score(archs, proxies=("weight_norm",), seed=1, **OPTIONS)
    with pytest.raises(ValueError, match="fitted to weight_norm of other init_seed"):
        calibration.predict(other)


def test_a_module_has_no_features_to_go_by(archs, folder):
    module = tvtfast.build(archs[0], **OPTIONS)
    named = {key: value for key, value in OPTIONS.items() if key != "space"}
    scored = tvtfast.score([module], proxies=(f"calibrated:{folder}",), **named)
    assert scored.status["calibrated"].tolist() == ["unsupported"]
    assert "no value that it can be made of" in scored.reasons["calibrated"][0]


def test_a_part_that_fails_tells_why(archs, table, tmp_path, monkeypatch):
    def failing(inputs):
        raise UndefinedScoreError("nothing to divide by")

    values = pd.Series(table["weight_norm"])
    monkeypatch.setitem(
        proxies.base._proxies, "sometimes", proxies.Proxy("sometimes", lambda inputs: inputs.params)
    )
    scored = tvtfast.score(archs, proxies=("weight_norm", "sometimes"), **OPTIONS)
    fitted = tvtfast.calibrate(scored, values.iloc[:5].to_dict())
    fitted.save(tmp_path)
    monkeypatch.setitem(proxies.base._proxies, "sometimes", proxies.Proxy("sometimes", failing))
    found = tvtfast.score(archs[:2], proxies=(f"calibrated:{tmp_path}",), **OPTIONS)
    assert found.status["calibrated"].tolist() == ["nan", "nan"]
    assert "sometimes: " in found.reasons["calibrated"][0]
    assert np.isnan(found["calibrated"]).all()


def test_names_of_the_proxy(archs, folder, tmp_path):
    assert "calibrated" in proxies.available()
    for bare in ("calibrated", "calibrated:"):
        with pytest.raises(ValueError, match=r"needs the folder .*; give calibrated:FOLDER"):
            tvtfast.score(archs, proxies=(bare,), **OPTIONS)
    with pytest.raises(FileNotFoundError, match="calibration.json is not there; give a folder"):
        tvtfast.score(archs, proxies=(f"calibrated:{tmp_path}",), **OPTIONS)
    scored = tvtfast.score(archs[:9], proxies=("weight_norm",), **OPTIONS)
    tvtfast.calibrate(scored, {row: float(row) for row in range(9)}).save(tmp_path)
    both = (f"calibrated:{folder}", f"calibrated:{tmp_path}")
    with pytest.raises(ValueError, match="both the column 'calibrated'"):
        tvtfast.score(archs, proxies=both, **OPTIONS)


def test_judging_by_what_it_was_fitted_on_is_told(archs, calibration, folder, caplog):
    scored = tvtfast.score(archs, proxies=(f"calibrated:{folder}", "weight_norm"), **OPTIONS)
    truth = pd.DataFrame({"arch": scored.to_pandas()["arch"], "acc": np.arange(len(archs)) * 1.0})
    judged = tvtfast.correlate(scored, truth, n_resamples=3).set_index("proxy")["fitted"]
    assert judged["calibrated"] == len(calibration.trained) == 12
    assert not judged.drop("calibrated").any()
    (told,) = [record.getMessage() for record in caplog.records]
    assert "FITTED ON" in told and f"calibrated on 12 of {len(archs)} architectures" in told
    caplog.clear()
    others = truth[~truth["arch"].isin(calibration.trained)]
    assert not tvtfast.correlate(scored, others, n_resamples=3)["fitted"].any()
    assert not caplog.records
