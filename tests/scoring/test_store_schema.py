"""Files of other versions: older ones are upgraded after a copy, newer ones refused."""

from __future__ import annotations

import json
import logging
import sqlite3
from contextlib import closing

import pytest

from tvtfast.scoring import store_schema
from tvtfast.scoring.cells import Cell, Entry, canonical
from tvtfast.scoring.store import ScoreStore, StoreError

FIRST = """CREATE TABLE scores (
    key TEXT PRIMARY KEY, fields TEXT NOT NULL, value REAL, status TEXT NOT NULL,
    reason TEXT NOT NULL, seconds REAL NOT NULL
) WITHOUT ROWID"""
FIELDS = [
    {"batch": ["abc", None], "candidate": {"arch": depth}, "proxy": proxy, "version": 1}
    for proxy in ("params", "zen")
    for depth in range(5)
] + [{"proxy": "odd"}, {"candidate": "é", "proxy": "b"}]


def write_first(path, rows, *, images=False):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(FIRST)
        connection.executemany("INSERT INTO scores VALUES (?, ?, ?, ?, ?, ?)", rows)
        if images:
            connection.execute(
                "CREATE TABLE image_scores (key TEXT NOT NULL, images BLOB NOT NULL, "
                "scores BLOB NOT NULL, PRIMARY KEY (key, images)) WITHOUT ROWID"
            )
            connection.execute("INSERT INTO image_scores VALUES ('a', ?, ?)", (bytes(4), bytes(8)))
        connection.commit()


def first_rows():
    rows = [
        (Entry.of(fields).key, canonical(fields), number / 3, "ok", "", 0.5)
        for number, fields in enumerate(FIELDS)
    ]
    rows[3] = (*rows[3][:2], None, "nan", "the score is inf", 0.1)
    rows[4] = (*rows[4][:2], None, "oom", "no memory", 0.1)
    return rows


def all_rows(path):
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT key, fields, value, status, reason, seconds FROM scores"
        return sorted(connection.execute(query))


@pytest.mark.parametrize("images", [False, True])
def test_an_older_file_is_upgraded_after_a_copy(tmp_path, caplog, images):
    path, rows = tmp_path / "scores.sqlite", first_rows()
    write_first(path, rows, images=images)
    with caplog.at_level(logging.WARNING, "tvtfast"), ScoreStore(path) as store:
        assert len(store) == len(rows)
        found = store.get(row[0] for row in rows)
        assert len(found) == len(rows) - 1, "what failed for want of memory is computed again"
        assert found[rows[3][0]].status == "nan"
        assert len(list(store.get_images(["a"]))) == images
        store.put([(FIELDS[4], Cell(7.0)), (FIELDS[0], Cell(8.0))])
        assert store.get([rows[4][0]])[rows[4][0]].value == 7.0
        assert store.get([rows[0][0]])[rows[0][0]].value == 0.0
    assert "scores.sqlite.schema-1 is the file as it was" in caplog.text
    assert all_rows(tmp_path / "scores.sqlite.schema-1") == sorted(rows)
    changed = [(*row[:2], 7.0, "ok", "", 0.0) if row[3] == "oom" else row for row in rows]
    assert all_rows(path) == sorted(changed), "every text is what it was"
    caplog.clear()
    with ScoreStore(path):
        assert not caplog.text, "once"


def test_texts_that_are_not_canonical_are_kept(tmp_path):
    path = tmp_path / "scores.sqlite"
    text = json.dumps({"candidate": 1, "a": 2})
    write_first(path, [("ab" * 32, text, 1.0, "ok", "", 0.0)])
    with ScoreStore(path) as store:
        assert store.get(["ab" * 32])["ab" * 32].value == 1.0
    assert all_rows(path) == [("ab" * 32, text, 1.0, "ok", "", 0.0)]


def test_what_goes_wrong_in_an_upgrade_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    path, rows = tmp_path / "scores.sqlite", first_rows()
    write_first(path, rows)
    monkeypatch.setattr(store_schema, "context_of", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        ScoreStore(path)
    assert all_rows(path) == sorted(rows)
    monkeypatch.undo()
    with ScoreStore(path) as store:
        assert len(store) == len(rows)


def test_a_newer_file_is_refused_with_the_version_that_it_needs(tmp_path):
    path = tmp_path / "scores.sqlite"
    with ScoreStore(path) as store:
        store.put([(FIELDS[0], Cell(1.0))])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 3")
        connection.execute("UPDATE about SET needs = '9.1'")
        connection.commit()
    content = path.read_bytes()
    with pytest.raises(
        StoreError, match=r"has schema 3, .*up to 2; it needs tvtfast 9\.1 or newer"
    ):
        ScoreStore(path)
    assert path.read_bytes() == content


def test_another_database_is_refused(tmp_path):
    path = tmp_path / "places.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE places (name TEXT)")
        connection.commit()
    with pytest.raises(StoreError, match="database without scores \\(tables: places\\)"):
        ScoreStore(path)


def test_what_scores_have_in_common_is_stored_once(tmp_path):
    path = tmp_path / "scores.sqlite"
    with ScoreStore(path) as store:
        store.put((fields, Cell(1.0)) for fields in FIELDS[:10])
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT COUNT(*) FROM contexts").fetchone() == (2,)
        candidates = connection.execute("SELECT DISTINCT candidate FROM cells").fetchall()
    assert {json.loads(text)["arch"] for (text,) in candidates} == set(range(5))


def test_contexts_of_a_transaction_that_failed_are_forgotten(tmp_path):
    store = ScoreStore(tmp_path / "scores.sqlite")
    with pytest.raises(TypeError):
        store.put([(FIELDS[0], Cell(1.0)), (FIELDS[1], "no cell")])
    store.put([(FIELDS[5], Cell(2.0))])
    store.put([(FIELDS[0], Cell(1.0))])
    assert all_rows(store.path) == sorted(
        (Entry.of(FIELDS[n]).key, canonical(FIELDS[n]), value, "ok", "", 0.0)
        for n, value in ((0, 1.0), (5, 2.0))
    )
