"""One scorer for several threads, processes and copies."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest
import torch
from torch import nn

import tvtfast
from tvtfast import proxies, spaces
from tvtfast.data import frozen_batch
from tvtfast.scoring.cells import Cell
from tvtfast.scoring.store import ScoreStore

TINY = spaces.get("autoformer-tiny")
PROXIES = ("teacher_aware", "weight_norm", "relation_cc")
OPTIONS = {"space": TINY, "images": frozen_batch("digits", 4), "patch_size": 16}


@pytest.fixture(scope="module")
def archs():
    return TINY.sample(6, 0)


@pytest.fixture(scope="module")
def expected(teacher, archs):
    return tvtfast.score(archs, proxies=PROXIES, teacher=teacher, **OPTIONS).to_pandas()


@pytest.fixture(params=["memory", "file"])
def store(request, tmp_path):
    return None if request.param == "memory" else tmp_path / "scores.sqlite"


def make(teacher, store=None):
    return tvtfast.Scorer(proxies=PROXIES, teacher=teacher, store=store, **OPTIONS)


def test_threads_share_a_scorer(teacher, archs, expected, store):
    scorer = make(teacher, store)
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(3) as pool:
        tables = list(pool.map(lambda arch: scorer([arch]).to_pandas(), [*archs, *archs]))
    found = pd.concat(tables[: len(archs)], ignore_index=True)
    pd.testing.assert_frame_equal(found, expected)
    pd.testing.assert_frame_equal(pd.concat(tables[len(archs) :], ignore_index=True), expected)
    assert torch.get_num_threads() == threads


def test_threads_with_scorers_of_their_own(teacher, archs, expected):
    with ThreadPoolExecutor(3) as pool:
        tables = list(pool.map(lambda arch: make(teacher)([arch]).to_pandas(), archs))
    pd.testing.assert_frame_equal(pd.concat(tables, ignore_index=True), expected)


def test_threads_leave_modules_and_random_state_alone(teacher):
    """Both belong to the process, so threads may not see each other's."""
    arch = TINY.sample(1, 3)[0]
    module = tvtfast.build(arch, space=TINY, img_size=32, num_classes=10, patch_size=16)
    module.train()
    scorer = make(teacher)
    alone = scorer([module]).to_pandas()["teacher_aware"][0]
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    with ThreadPoolExecutor(4) as pool:
        values = list(
            pool.map(lambda _: scorer([module]).to_pandas()["teacher_aware"][0], range(12))
        )
    assert values == [alone] * 12
    assert module.training and torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))])
def test_copies_score_the_same(teacher, archs, expected, store, duplicate):
    scorer = make(teacher, store)
    scorer(archs[:4])
    twin = duplicate(scorer)
    pd.testing.assert_frame_equal(twin(archs).to_pandas(), expected)
    assert (scorer.evaluated, twin.evaluated) == (4, 6), "known scores travel along"
    scorer(archs)
    assert scorer.evaluated == (4 if store else 6), "a file is shared, memory is not"


def test_cloudpickle(teacher, archs, expected):
    cloudpickle = pytest.importorskip("cloudpickle")
    twin = pickle.loads(cloudpickle.dumps(make(teacher)))
    pd.testing.assert_frame_equal(twin(archs).to_pandas(), expected)


def test_every_registered_proxy_can_be_pickled():
    for name in proxies.available():
        proxy = proxies.base._proxies[name]
        assert pickle.loads(pickle.dumps(proxy)).name == name


PROGRAM = """
import os, pickle, sys
import torch
torch.set_num_threads(int(sys.argv[3]))
with open(sys.argv[1], "rb") as file:
    scorer, archs = pickle.load(file)
table = scorer(archs)
table.to_parquet(sys.argv[2])
assert scorer.evaluated == 6, scorer.evaluated
"""


def test_a_copy_in_another_process_uses_the_same_file(
    teacher, archs, expected, tmp_path, monkeypatch
):
    """Named relative to a folder that the other process does not start in."""
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    scorer = make(teacher, "scores.sqlite")
    scorer(archs[:4])
    (tmp_path / "scorer.pkl").write_bytes(pickle.dumps((scorer, archs)))
    threads = str(torch.get_num_threads())
    arguments = [tmp_path / "scorer.pkl", tmp_path / "scores.parquet", threads]
    subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=tmp_path / "there",
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
    )
    assert not list((tmp_path / "there").iterdir())
    written = pd.read_parquet(tmp_path / "scores.parquet")
    for name in PROXIES:
        assert written[name].tolist() == expected[name].tolist()
    scorer(archs)
    assert scorer.evaluated == 4, "what the other process scored is known here"


def test_a_forked_process_has_a_connection_of_its_own(tmp_path):
    store = ScoreStore(tmp_path / "scores.sqlite")
    store.put([({"proxy": "p", "who": "parent"}, Cell(1.0))])
    child = os.fork()
    if not child:
        store.put([({"proxy": "p", "who": "child"}, Cell(2.0))])
        os._exit(0 if store._kept.connection not in store._kept._inherited else 1)
    assert os.waitpid(child, 0)[1] == 0
    store.put([({"proxy": "p", "who": "parent again"}, Cell(3.0))])
    assert len(store) == 3


def test_many_threads_write_to_one_store(store):
    shared = ScoreStore(store)

    def write(who):
        for number in range(40):
            shared.put([({"who": who, "number": number}, Cell(float(number)))])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    assert len(shared) == 320


@pytest.mark.parametrize("progress", [False, True])
def test_no_thread_is_left_behind(progress, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    before = set(threading.enumerate())
    settings = {"proxies": "weight_norm", "progress": progress}
    tvtfast.score(TINY.sample(2, 0), space=TINY, **settings)
    tvtfast.score([nn.Linear(2, 2)], **settings)
    assert set(threading.enumerate()) <= before
