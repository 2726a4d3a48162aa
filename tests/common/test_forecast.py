"""Forecasts: arithmetic of parts, files, and what is said when the run has ended."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tvtfast.common.cost import Cost
from tvtfast.common.forecast import FORECAST, Forecast, Part, outcome, read_forecast
from tvtfast.common.foreign import BadFileError
from tvtfast.common.identity import Identity
from tvtfast.common.run_folder import RunFolder, read_record

SAID = Forecast(
    command="search",
    unit="candidates",
    count=100,
    parts=(
        Part("set-up", 5.0),
        Part("scoring", 1.0, 2.0, shared=True, cores=2.0),
        Part("table", 0.0, 0.1),
    ),
    low=0.8,
    high=1.25,
    memory=10**9,
    disk=None,
    basis="two small searches",
)


def test_workers_share_what_can_be_shared():
    assert SAID.seconds() == pytest.approx(5 + 1 + 200 + 10)
    assert SAID.seconds(4) == pytest.approx(5 + 1 + 50 + 10)
    assert SAID.interval(4) == pytest.approx((0.8 * 66, 1.25 * 66))
    assert SAID.shares(4) == pytest.approx({"set-up": 5 / 66, "scoring": 51 / 66, "table": 10 / 66})


@pytest.mark.parametrize("workers", [1, 3])
def test_what_fits_takes_the_time_and_one_more_does_not(workers):
    count = SAID.fitting(1.0, workers)
    assert replace(SAID, count=count).seconds(workers) <= 3600
    assert replace(SAID, count=count + 1).seconds(workers) > 3600
    assert SAID.fitting(1e-4, workers) == 0


def test_a_file_keeps_it(tmp_path):
    assert read_forecast(tmp_path) is None
    SAID.write(tmp_path)
    assert read_forecast(tmp_path) == SAID
    (tmp_path / FORECAST).write_text(json.dumps({"command": "search"}))
    with pytest.raises(BadFileError, match=r"forecast\.json"):
        read_forecast(tmp_path)


def test_the_error_is_told_for_the_run_that_was_planned(tmp_path):
    SAID.write(tmp_path)
    took = Cost(wall_seconds=180.0, processor_seconds=288.0)
    found = outcome(tmp_path, "search", 100, took)
    assert found is not None and found["error"] == pytest.approx(0.2) and found["took"] == 180.0
    assert found["processor_seconds"] == pytest.approx(5 + 2 * 201 + 10)
    assert found["processor_error"] == pytest.approx(417 / 288 - 1)
    assert outcome(tmp_path, "search", 101, took) is None, "another size"
    assert outcome(tmp_path, "distill", 100, took) is None, "another command"


def test_a_run_of_several_workers_is_held_against_what_was_said_for_as_many(tmp_path):
    SAID.write(tmp_path)
    found = outcome(tmp_path, "search", 100, Cost(66.0, processor_seconds=16.0, processes=4))
    assert found is not None and found["workers"] == 4
    assert found["error"] == pytest.approx(0.0) and found["low"] == pytest.approx(0.8 * 66)
    assert found["processor_error"] is None, "processor time is that of the first process"


def test_the_number_of_candidates_of_a_growth_may_be_another(tmp_path):
    replace(SAID, command="grow", exact=False).write(tmp_path)
    found = outcome(tmp_path, "grow", 80, Cost(wall_seconds=216.0))
    assert found is not None and found["error"] == pytest.approx(0.0)
    assert found["processor_error"] is None, "of a version that did not measure it"


def test_a_run_on_this_machine_says_nothing_of_another_device(tmp_path):
    replace(SAID, assumed={"utilisation": "40 %"}).write(tmp_path)
    assert outcome(tmp_path, "search", 100, Cost(wall_seconds=1.0)) is None


def test_workers_share_what_is_divided():
    run = replace(SAID, parts=(Part("search", 3.0, divided=40.0), Part("student", 1.0, 2.0)))
    assert run.seconds() == pytest.approx(244.0) and run.seconds(4) == pytest.approx(214.0)
    assert run.fitting(1.0, 4) == (3600 - 14) // 2


@pytest.mark.parametrize(("candidates", "said"), [(100, True), (99, False)])
def test_the_record_of_a_finished_run_has_it(tmp_path, candidates, said):
    SAID.write(tmp_path)
    folder = RunFolder(tmp_path, Identity("search", {"seed": 0}), holds=lambda path: False)
    with folder.claimed() as record:
        record.candidates = candidates
        assert "forecast" not in read_record(tmp_path)
    record = read_record(tmp_path)
    assert ("forecast" in record) == said
    if said:
        took = record["cost"]["wall_seconds"]
        assert record["forecast"]["error"] == pytest.approx(SAID.seconds() / took - 1)
