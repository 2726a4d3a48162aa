"""Whose a run folder is: the same run goes on, another is refused or goes elsewhere."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import subprocess
import sys
import threading
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest

from tvtfast.common import run_folder, worker
from tvtfast.common.foreign import BadFileError
from tvtfast.common.identity import Identity
from tvtfast.common.run_folder import (
    BusyError,
    CommandFolder,
    OtherRunError,
    RunError,
    RunFolder,
    read_record,
)
from tvtfast.common.worker import is_alive, now, this_process

SETTINGS = {"seed": 0, "trials": 10, "window": [1, 2]}


def identity(command="search", **changes):
    return Identity(command, SETTINGS | changes, growing=("trials",), moving=("window",))


def holds(folder):
    return (folder / "result").exists()


def work(given, one=None, **options):
    folder = RunFolder(given, one or identity(), holds=holds, **options)
    with folder.claimed() as record:
        (folder.path / "result").touch()
        record.results = {"answer": 42}
    return folder.path


def record_of(folder, **changes):
    content = json.loads((folder / "run.json").read_text()) | changes
    (folder / "run.json").write_text(json.dumps(content))


def dead_process():
    """A process of this machine that is no more."""
    ended = subprocess.run(
        [
            sys.executable,
            "-c",
            "import json; from tvtfast.common.worker import this_process as t; "
            "print(json.dumps(t()))",
        ],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return json.loads(ended.stdout)


def test_a_finished_run_is_on_record(tmp_path):
    record = read_record(work(tmp_path / "run"))
    assert record["status"] == "finished" and record["answer"] == 42
    assert record["settings"] == SETTINGS and record["command"] == "search"
    assert record["process"]["pid"] == os.getpid()
    assert {"started", "heartbeat", "versions", "machine"} <= record.keys()
    assert not [thread for thread in threading.enumerate() if "heartbeat" in thread.name]


def test_the_same_run_goes_on_and_another_is_refused_by_its_differences(tmp_path):
    folder = work(tmp_path / "run")
    assert work(folder) == folder
    with pytest.raises(OtherRunError, match=r"run holds another run \(seed was 0, now 1\)"):
        work(folder, identity(seed=1))
    with pytest.raises(OtherRunError, match="command was 'search', now 'distill'"):
        work(folder, identity("distill"))
    pixels = {"pixels": [64 * "a", 64 * "0"]}
    words = r"pixels was None, now \['aaaaaaaa\.\.\.', '00000000\.\.\.'\]"
    with pytest.raises(OtherRunError, match=words):
        work(folder, identity(**pixels))
    assert read_record(folder)["settings"] == SETTINGS


def test_numbers_of_numpy_are_numbers():
    given = {"seed": np.int64(0), "trials": np.int32(10), "window": [np.float64(1), 2]}
    assert Identity("search", given).settings == SETTINGS
    with pytest.raises(TypeError, match="a set is no plain value"):
        identity(seed={1})


def test_a_run_grows_and_does_not_shrink(tmp_path):
    folder = work(tmp_path)
    work(folder, identity(trials=11))
    with pytest.raises(OtherRunError, match="trials was 11, now 10"):
        work(folder)


def test_what_may_move_is_told(tmp_path, caplog):
    folder = work(tmp_path)
    with caplog.at_level(logging.WARNING, "tvtfast"):
        work(folder, identity(window=[1, 3]))
    assert "window was [1, 2], now [1, 3]; what was computed is used again" in caplog.text


def test_a_folder_without_anything_to_lose_takes_any_run(tmp_path):
    folder = RunFolder(tmp_path, identity(), holds=holds)
    with pytest.raises(ZeroDivisionError), folder.claimed():
        1 / 0  # noqa: B018
    assert read_record(tmp_path)["status"] == "failed"
    work(tmp_path, identity(seed=1))
    assert read_record(tmp_path)["settings"]["seed"] == 1


def test_a_name_that_the_command_made_gives_way(tmp_path, caplog):
    path = tmp_path / "digits"
    default = CommandFolder(path, named=False)
    assert work(default) == path
    with caplog.at_level(logging.WARNING, "tvtfast"):
        other = work(default, identity(seed=1))
    assert other == default.chosen == tmp_path / f"digits-{identity(seed=1).short}"
    assert f"{path} holds another run (seed was 0, now 1); this one is in {other}" in caplog.text
    assert work(default, identity(seed=1)) == other, "its own folder is found again"
    assert work(default) == default.chosen == path
    assert len(list(tmp_path.iterdir())) == 2
    with pytest.raises(OtherRunError):
        work(CommandFolder(path, named=True), identity(seed=1))


def test_flags_are_written_where_the_run_is(tmp_path):
    def configure(folder):
        (folder / "config.yaml").write_text(folder.name)

    default = CommandFolder(tmp_path / "x", named=False, configure=configure)
    work(default)
    other = work(default, identity(seed=1))
    assert (tmp_path / "x" / "config.yaml").read_text() == "x"
    assert (other / "config.yaml").read_text() == other.name


def test_a_record_of_something_else_and_a_damaged_one(tmp_path):
    (tmp_path / "run.json").write_text("[]")
    with pytest.raises(RunError, match="is not the record of a run; choose another folder"):
        work(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(BadFileError, match=r"run\.json cannot be read as the record"):
        work(tmp_path)


def test_an_earlier_version_recorded_less(tmp_path, caplog):
    """What it did not record is not compared, and that is said."""
    (tmp_path / "result").touch()
    (tmp_path / "run.json").write_text(json.dumps({"settings": {"seed": 0}, "status": "finished"}))
    with pytest.raises(OtherRunError, match="seed was 0, now 1"):
        work(tmp_path, identity(seed=1))
    with caplog.at_level(logging.WARNING, "tvtfast"):
        work(tmp_path)
    assert "begun by an earlier version, which did not record trials, window" in caplog.text
    assert read_record(tmp_path)["settings"] == SETTINGS
    found = tmp_path / "other"
    found.mkdir()
    with pytest.raises(OtherRunError, match="seed was 5, now 0"):
        work(found, recorded=lambda path: {"seed": 5})


def test_a_second_process_is_told_so(tmp_path):
    folder = RunFolder(tmp_path, identity(), holds=holds)
    with folder.claimed():
        assert read_record(tmp_path)["status"] == "running"
        words = rf"process {os.getpid()} on .* works on .*stop it with 'kill {os.getpid()}'"
        with pytest.raises(BusyError, match=words):
            work(tmp_path)
        with pytest.raises(OtherRunError):
            work(tmp_path, identity(seed=1))
        default = CommandFolder(tmp_path, named=False)
        assert work(default, identity(seed=1)) != tmp_path
    work(tmp_path)


def test_a_dead_run_is_continued_with_a_word(tmp_path, caplog):
    folder = work(tmp_path)
    record_of(folder, status="running", process=dead_process(), heartbeat=now())
    with caplog.at_level(logging.WARNING, "tvtfast"):
        work(folder)
    assert "the run before in" in caplog.text and "stopped without a word after 20" in caplog.text


def test_life_and_death_of_processes():
    own = this_process()
    assert is_alive(own, None)
    assert not is_alive(own | {"created": own["created"] - 100}, now()), "its number is taken again"
    assert not is_alive(None, now()) and not is_alive(own | {"pid": "x"}, now())
    elsewhere = own | {"host": "elsewhere"}
    contained = own | {"namespace": "pid:[1]"}
    for far in (elsewhere, contained):
        assert is_alive(far, now()) and not is_alive(far, None) and not is_alive(far, "yesterday")
        old = (datetime.now(timezone.utc) - timedelta(minutes=3)).isoformat(timespec="seconds")
        assert not is_alive(far, old)


def test_the_record_gives_signs_of_life(tmp_path, monkeypatch):
    monkeypatch.setattr(run_folder, "HEARTBEAT", 0.01)
    beats = iter(f"2026-01-01T00:00:{second:02d}+00:00" for second in range(60))
    monkeypatch.setattr(run_folder, "now", lambda: next(beats))
    reached = threading.Event()
    write = run_folder.RunRecord.write

    def counted(self, status, **more):
        write(self, status, **more)
        if json.loads(self.path.read_text())["heartbeat"].endswith("05+00:00"):
            reached.set()

    monkeypatch.setattr(run_folder.RunRecord, "write", counted)
    with RunFolder(tmp_path, identity(), holds=holds).claimed():
        assert reached.wait(30)
    assert read_record(tmp_path)["status"] == "finished"


def test_a_process_that_was_taken_for_dead_leaves_the_record_to_the_next(tmp_path, caplog):
    with RunFolder(tmp_path, identity(), holds=holds).claimed() as record:
        record_of(tmp_path, process=this_process() | {"pid": 1})
        with caplog.at_level(logging.WARNING, "tvtfast"):
            assert not record.beat()
        assert read_record(tmp_path)["process"]["pid"] == 1
    assert "another process works on" in caplog.text


def _try(folder, begin, results):
    begin.wait()
    try:
        with RunFolder(folder, identity(), holds=holds).claimed():
            results.put("worked")
            begin.wait()
    except BusyError:
        results.put("refused")
        begin.wait()


def test_of_processes_that_begin_at_once_one_works(tmp_path):
    spawn = multiprocessing.get_context("fork")
    begin, results = spawn.Barrier(3), spawn.Queue()
    started = [spawn.Process(target=_try, args=(tmp_path, begin, results)) for _ in range(3)]
    for process in started:
        process.start()
    found = sorted(results.get(timeout=60) for _ in started)
    for process in started:
        process.join(60)
    assert found == ["refused", "refused", "worked"]


def test_a_full_disk_on_the_way_out_hides_no_error(tmp_path, monkeypatch):
    folder = RunFolder(tmp_path, identity(), holds=holds)

    def full(path, content):
        raise OSError(28, "No space left on device")

    with pytest.raises(ZeroDivisionError), folder.claimed():
        monkeypatch.setattr(run_folder, "write_json", full)
        1 / 0  # noqa: B018


def test_only_the_leader_of_a_team_writes(tmp_path):
    leader = RunFolder(tmp_path, identity(), holds=holds)
    follower = RunFolder(tmp_path, identity(), holds=holds, leads=False)
    with leader.claimed():
        before = (tmp_path / "run.json").read_bytes()
        with follower.claimed():
            assert (tmp_path / "run.json").read_bytes() == before
    assert worker.HEARTBEAT == 10
