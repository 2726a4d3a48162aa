"""Whole stores: the best of one, several as one, and Parquet."""

from __future__ import annotations

import json
import math
import sqlite3
from contextlib import closing

import numpy as np
import pandas as pd
import pytest

from tvtfast.cli import main
from tvtfast.runs import export_store
from tvtfast.scoring.cells import Cell, Entry
from tvtfast.scoring.store import ScoreStore, StoreError
from tvtfast.scoring.store_merging import merge
from tvtfast.scoring.store_queries import best, contexts, opened


def fields(number, proxy="zen", seed=0):
    return {"candidate": {"arch": number}, "init_seed": seed, "proxy": proxy, "version": 1}


def write(path, cells, images=()):
    with ScoreStore(path) as store:
        store.put(cells)
        store.put_images(images)
    return path


def values(path):
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT fields, value, status FROM scores").fetchall()
    return {
        (json.loads(text)["proxy"], json.loads(text)["candidate"]["arch"]): (value, status)
        for text, value, status in found
    }


@pytest.fixture
def two(tmp_path):
    first = write(
        tmp_path / "a.sqlite",
        [(fields(n), Cell(float(n), seconds=0.5)) for n in range(5)]
        + [(fields(9), Cell(math.nan, "oom", "no memory"))],
        [("k", (np.array([0]), np.array([1.0])))],
    )
    second = write(
        tmp_path / "b.sqlite",
        [(fields(n, "other"), Cell(float(-n))) for n in range(3)]
        + [(fields(n), Cell(float(n))) for n in (3, 4, 5)]
        + [(fields(9), Cell(9.0))],
        [("k", (np.array([0]), np.array([1.0]))), ("l", (np.array([0]), np.array([2.0])))],
    )
    return first, second


def test_stores_become_one(two, tmp_path):
    merged = merge(two, tmp_path / "c.sqlite")
    assert merged.scores == 10 and not merged.conflicts
    assert values(tmp_path / "c.sqlite") == values(two[0]) | values(two[1])
    with ScoreStore(tmp_path / "c.sqlite") as store:
        key = Entry.of(fields(3)).key
        assert store.get([key])[key] == Cell(3.0, seconds=0.5), "of equal scores the first stays"
        assert {name for name, _ in store.get_images(["k", "l"])} == {"k", "l"}
        assert len(contexts_of(tmp_path / "c.sqlite")) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.sqlite", "b.sqlite", "c.sqlite"]


def contexts_of(path):
    with opened(path) as file:
        return contexts(file)


@pytest.mark.parametrize(("keep", "kept"), [("first", 1.0), ("last", 1.5)])
def test_conflicts_are_named_and_decided_by_whoever_merges(two, tmp_path, keep, kept):
    third = write(tmp_path / "d.sqlite", [(fields(1), Cell(1.5)), (fields(2), Cell(2.0))])
    target = tmp_path / "c.sqlite"
    with pytest.raises(StoreError, match=r"1 scores with different .*1\.0 before, 1\.5 in .*d\.sq"):
        merge([*two, third], target)
    assert not target.exists() and not list(tmp_path.glob(".*"))
    merged = merge([*two, third], target, keep=keep)
    (conflict,) = merged.named
    assert merged.conflicts == 1 and json.loads(conflict.text) == fields(1)
    assert values(target)["zen", 1] == (kept, "ok")


def test_a_value_and_its_absence_are_a_conflict(two, tmp_path):
    third = write(tmp_path / "d.sqlite", [(fields(1), Cell(math.nan, "nan", "the score is inf"))])
    with pytest.raises(StoreError, match=r"1\.0 before, nan in "):
        merge([two[0], third], tmp_path / "c.sqlite")


def test_a_failure_never_replaces_a_score(two, tmp_path):
    merge([two[1], two[0]], tmp_path / "c.sqlite", keep="last")
    assert values(tmp_path / "c.sqlite")["zen", 9] == (9.0, "ok")


def test_different_scores_of_one_image_are_a_conflict(two, tmp_path):
    third = write(tmp_path / "d.sqlite", [], [("k", (np.array([0]), np.array([7.0])))])
    with pytest.raises(StoreError, match=r"scores of images before.*: k"):
        merge([two[0], third], tmp_path / "c.sqlite")


def test_a_merge_overwrites_nothing(two):
    content = two[1].read_bytes()
    with pytest.raises(StoreError, match="exists; a merge writes a new store"):
        merge(two, two[1])
    assert two[1].read_bytes() == content


def test_the_best_are_found_by_an_index(two):
    with opened(two[0]) as file:
        (one,) = contexts(file)
        assert one.fields == {"init_seed": 0, "proxy": "zen", "version": 1} and one.count == 6
        assert best(file, one.number, 2) == [('{"arch":4}', 4.0), ('{"arch":3}', 3.0)]
        assert best(file, one.number, 1, highest=False) == [('{"arch":0}', 0.0)]
        with file.reading() as connection:
            plan = connection.execute(
                "EXPLAIN QUERY PLAN SELECT candidate, value FROM cells WHERE context = 1 AND "
                "value IS NOT NULL ORDER BY value DESC LIMIT 5"
            ).fetchall()
    assert "cells_by_value" in str(plan) and "TEMP B-TREE" not in str(plan)


def test_parquet_has_every_score(two, tmp_path, monkeypatch):
    monkeypatch.setattr("tvtfast.runs.exporting._ROWS", 4)
    assert export_store(two[1], tmp_path / "b.parquet") == 7
    frame = pd.read_parquet(tmp_path / "b.parquet")
    assert set(frame["proxy"]) == {"other", "zen"}
    with closing(sqlite3.connect(two[1])) as connection:
        rows = connection.execute("SELECT key, value, status FROM scores").fetchall()
    assert set(frame[["key", "value", "status"]].itertuples(index=False, name=None)) == set(rows)
    first = frame.set_index("key").loc[Entry.of(fields(5)).key]
    assert first["candidate"] == '{"arch":5}'
    assert json.loads(first["depends_on"]) == {"init_seed": 0, "proxy": "zen", "version": 1}


def test_an_empty_store_is_an_empty_table(tmp_path):
    assert export_store(write(tmp_path / "a.sqlite", []), tmp_path / "a.parquet") == 0
    assert pd.read_parquet(tmp_path / "a.parquet").empty


def test_the_command_line_does_all_of_it(two, tmp_path, capsys):
    target = str(tmp_path / "c.sqlite")
    assert main(["runs", "merge", *map(str, two), "-o", target]) == 0
    assert "10 scores" in capsys.readouterr().out
    assert main(["runs", "top", target]) == 2
    assert "--proxy" in capsys.readouterr().err
    assert main(["runs", "top", target, "--proxy", "zen", "--top", "2", "--json"]) == 0
    (context,) = json.loads(capsys.readouterr().out)["contexts"]
    assert context["best"] == [
        {"candidate": '{"arch":9}', "value": 9.0},
        {"candidate": '{"arch":5}', "value": 5.0},
    ]
    assert main(["runs", "export", target]) == 0
    assert len(pd.read_parquet(tmp_path / "c.parquet")) == 10
    third = write(tmp_path / "d.sqlite", [(fields(1), Cell(1.5))])
    arguments = ["runs", "merge", str(two[0]), str(third), "-o", str(tmp_path / "e.sqlite")]
    assert main(arguments) == 2 and "different values" in capsys.readouterr().err
    assert main([*arguments, "--keep", "last", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["named"][0]["given"] == "1.5"
