"""The score store: durable, shared, and clear about trouble."""

from __future__ import annotations

import math
import sqlite3
import subprocess
import sys

import numpy as np
import pytest

from tvtfast.scoring.cells import Cell, score_key
from tvtfast.scoring.store import ScoreStore, StoreError

FIELDS = {"candidate": {"arch": "{}"}, "proxy": "teacher_aware", "version": 1, "init_seed": 0}
KEY = score_key(FIELDS)


def test_key_is_canonical_and_complete():
    assert score_key(dict(reversed(FIELDS.items()))) == KEY
    for field, value in (("init_seed", 1), ("version", 2), ("candidate", {"arch": "[]"})):
        assert score_key(FIELDS | {field: value}) != KEY


def test_round_trip_and_reopening(tmp_path):
    path = tmp_path / "new" / "folder" / "scores.sqlite"
    with ScoreStore(path) as store:
        store.put([(FIELDS, Cell(-0.001953125, seconds=0.5))])
        store.put([(FIELDS | {"init_seed": 1}, Cell(math.nan, "nan", "the score is inf"))])
    with ScoreStore(path) as store:
        assert len(store) == 2
        found = store.get([KEY, score_key(FIELDS | {"init_seed": 1}), score_key({"other": 1})])
        assert found[KEY] == Cell(-0.001953125, seconds=0.5)
        failed = found[score_key(FIELDS | {"init_seed": 1})]
        assert math.isnan(failed.value) and failed.status == "nan"


def test_first_value_stays():
    store = ScoreStore()
    store.put([(FIELDS, Cell(1.0))])
    store.put([(FIELDS, Cell(2.0))])
    assert store.get([KEY])[KEY].value == 1.0


@pytest.mark.parametrize("status", ["oom", "error"])
def test_failures_that_may_pass_are_tried_again(status):
    store = ScoreStore()
    store.put([(FIELDS, Cell(math.nan, status, "why"))])
    assert store.get([KEY]) == {} and len(store) == 1
    store.put([(FIELDS, Cell(3.0))])
    assert store.get([KEY])[KEY] == Cell(3.0)


def test_more_keys_than_one_statement_takes():
    store = ScoreStore()
    keys = []
    for seed in range(1201):
        store.put([(FIELDS | {"init_seed": seed}, Cell(float(seed)))])
        keys.append(score_key(FIELDS | {"init_seed": seed}))
    assert [store.get(keys)[key].value for key in keys] == list(range(1201))


def test_scores_of_single_images(tmp_path):
    path = tmp_path / "scores.sqlite"
    with ScoreStore(path) as store:
        store.put_images([("a", (np.array([7, 2]), np.array([0.1, math.nan])))])
        store.put_images([("a", (np.array([0]), np.array([-1e-300]))), ("b", ([1], [2.0]))])
        store.put_images([("b", ([1], [3.0]))])
        assert len(store) == 0
    with ScoreStore(path) as store:
        found = {}
        for key, (images, scores) in store.get_images(["a", "b", "missing"]):
            found.setdefault(key, {}).update(zip(images.tolist(), scores.tolist(), strict=True))
        assert found["b"] == {1: 2.0}, "the first value stays"
        assert math.isnan(found["a"].pop(2)) and found["a"] == {7: 0.1, 0: -1e-300}


def test_two_processes_write_to_one_store(tmp_path):
    path = tmp_path / "scores.sqlite"
    code = (
        "import sys; from tvtfast.scoring.cells import Cell\n"
        "from tvtfast.scoring.store import ScoreStore\n"
        "store = ScoreStore(sys.argv[1])\n"
        "for i in range(200):\n"
        "    store.put([({'proxy': 'p', 'i': i, 'who': sys.argv[2]}, Cell(float(i)))])"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, path, who]) for who in "ab"]
    assert [writer.wait(timeout=300) for writer in writers] == [0, 0]
    assert len(ScoreStore(path)) == 400


def test_a_file_that_is_no_store(tmp_path):
    path = tmp_path / "scores.sqlite"
    path.write_bytes(b"something else entirely, longer than a header " * 50)
    with pytest.raises(StoreError, match=r"scores\.sqlite: file is not a database"):
        ScoreStore(path)


def test_full_disk_keeps_what_was_committed(tmp_path):
    path = tmp_path / "scores.sqlite"
    store = ScoreStore(path)
    store.put([(FIELDS, Cell(1.0))])
    pages = store._kept.connection.execute("PRAGMA page_count").fetchone()[0]
    store._kept.connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError, match="database or disk is full.*Free disk space"):
        for seed in range(1, 200):
            store.put([(FIELDS | {"init_seed": seed, "padding": "x" * 500}, Cell(1.0))])
    store.close()
    assert ScoreStore(path).get([KEY])[KEY].value == 1.0


def test_readable_without_tvtfast(tmp_path):
    """Users query their scores with any SQLite tool."""
    path = tmp_path / "scores.sqlite"
    with ScoreStore(path) as store:
        store.put([(FIELDS, Cell(0.25))])
    row = sqlite3.connect(path).execute(
        "SELECT value, status, json_extract(fields, '$.proxy') FROM scores"
    )
    assert row.fetchall() == [(0.25, "ok", "teacher_aware")]
