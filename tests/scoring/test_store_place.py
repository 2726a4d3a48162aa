"""Stores on file systems that several machines share."""

from __future__ import annotations

import json
import logging
import multiprocessing
import sqlite3
from collections import namedtuple
from contextlib import closing

import psutil
import pytest

from tvtfast.common.file_systems import shared_file_system
from tvtfast.common.worker import this_process
from tvtfast.scoring import store_place
from tvtfast.scoring.cells import Cell
from tvtfast.scoring.store import ScoreStore, StoreError

Mount = namedtuple("Mount", "mountpoint fstype opts")


@pytest.fixture
def on_nfs(monkeypatch):
    monkeypatch.setattr(store_place, "shared_file_system", lambda path: "nfs4")


def mode(path):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA journal_mode").fetchone()[0]


def fields(number):
    return {"candidate": number, "proxy": "p"}


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/me/runs", "nfs4"),
        ("/home/me/local/runs", None),
        ("/homely", None),
        ("/mnt/cloud", "fuse.sshfs"),
        ("/drive/x", "remote"),
        ("/", None),
    ],
)
def test_the_nearest_mount_point_decides(monkeypatch, path, kind):
    mounts = [
        Mount("/", "ext4", "rw"),
        Mount("/home", "nfs4", "rw"),
        Mount("/home/me/local", "xfs", "rw"),
        Mount("/mnt/cloud", "fuse.sshfs", "rw"),
        Mount("/drive", "NTFS", "rw,remote"),
    ]
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: mounts)
    assert shared_file_system(path) == kind


def test_local_files_have_a_log_that_processes_share(tmp_path):
    with ScoreStore(tmp_path / "scores.sqlite"):
        assert mode(tmp_path / "scores.sqlite") == "wal"
        assert not list(tmp_path.glob("*.open"))


def test_shared_files_are_used_by_one_machine(tmp_path, on_nfs, caplog):
    path = tmp_path / "scores.sqlite"
    with caplog.at_level(logging.WARNING, "tvtfast"), ScoreStore(path) as store:
        assert "file system of type nfs4" in caplog.text
        store.put([(fields(0), Cell(1.0))])
        assert mode(path) == "delete"
        with ScoreStore(path) as again:
            again.put([(fields(1), Cell(2.0))])
            assert len(list(tmp_path.glob("*.open"))) == 2
        assert len(store) == 2
    assert not list(tmp_path.glob("*.open")), "and nothing is left"


def test_a_store_with_a_log_gives_it_up_on_a_shared_file_system(tmp_path, monkeypatch):
    path = tmp_path / "scores.sqlite"
    with ScoreStore(path) as store:
        store.put([(fields(0), Cell(1.0))])
    monkeypatch.setattr(store_place, "shared_file_system", lambda path: "lustre")
    with ScoreStore(path) as store:
        assert len(store) == 1 and mode(path) == "delete"


def test_another_machine_is_refused_by_name(tmp_path, on_nfs):
    path = tmp_path / "scores.sqlite"
    other = tmp_path / "scores.sqlite.0123.open"
    other.write_text(json.dumps(this_process() | {"host": "node7", "pid": 12}))
    with pytest.raises(
        StoreError, match=r"open on node7 \(process 12\).*type nfs4.*runs merge.*0123"
    ):
        ScoreStore(path)
    assert list(tmp_path.iterdir()) == [other], "no trace of the one that was refused"
    other.unlink()
    ScoreStore(path).close()


def test_what_a_dead_process_of_this_machine_left_is_removed(tmp_path, on_nfs):
    left = tmp_path / "scores.sqlite.0123.open"
    left.write_text(json.dumps(this_process() | {"created": 1.0}))
    with ScoreStore(tmp_path / "scores.sqlite"):
        assert not left.exists()


def test_a_store_that_nobody_closes_leaves_nothing(tmp_path, on_nfs):
    store = ScoreStore(tmp_path / "scores.sqlite")
    assert len(list(tmp_path.glob("*.open"))) == 1
    del store
    assert not list(tmp_path.glob("*.open"))


def _put_one(store):
    store.put([(fields(1), Cell(2.0))])


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
def test_a_forked_process_leaves_the_mark_of_its_parent(tmp_path, on_nfs):
    with ScoreStore(tmp_path / "scores.sqlite") as store:
        store.put([(fields(0), Cell(1.0))])
        child = multiprocessing.get_context("fork").Process(target=_put_one, args=(store,))
        child.start()
        child.join(30)
        assert child.exitcode == 0 and len(store) == 2
        marks = [json.loads(path.read_text()) for path in tmp_path.glob("*.open")]
        assert this_process() in marks
