"""Searches of many generations that are killed: the same decisions, and nothing scored twice."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

import tvtfast
from tvtfast.proxies import Proxy
from tvtfast.strategies import configured

SCRIPT = """
import json, sys, time
import tvtfast
from tvtfast.proxies import Proxy
from tvtfast.strategies import configured

def slowly(inputs):
    time.sleep(0.02)
    return float(inputs.flops % 1009)

tvtfast.search(
    "pit",
    strategy=configured(sys.argv[2], json.loads(sys.argv[3])),
    trials=60,
    proxies=[Proxy("rough", slowly), "params"],
    method="rank_sum",
    run_dir=sys.argv[1],
)
"""


def search(folder, strategy, settings):
    calls = []
    proxy = Proxy("rough", lambda inputs: calls.append(1) or float(inputs.flops % 1009))
    result = tvtfast.search(
        "pit",
        strategy=configured(strategy, settings),
        trials=60,
        proxies=[proxy, "params"],
        method="rank_sum",
        run_dir=folder,
    )
    return result, len(calls)


def scored(folder):
    path = folder / "scores.sqlite"
    if not path.exists():
        return 0
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT COUNT(*) FROM scores WHERE fields LIKE '%\"rough\"%'"
        try:
            return connection.execute(query).fetchone()[0]
        except sqlite3.OperationalError:  # the table is not there yet, or is being written
            return 0


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs POSIX signals")
@pytest.mark.parametrize(
    ("strategy", "settings"),
    [
        ("evolution", {"population": 12, "parents": 4}),
        pytest.param("nsga2", {"population": 12}, marks=pytest.mark.slow),
        pytest.param("reinforce", {}, marks=pytest.mark.slow),
    ],
)
def test_kill_and_continue(strategy, settings, tmp_path, kill_once):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    expected, needed = search(whole, strategy, settings)
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, broken, strategy, json.dumps(settings)],
        env=os.environ | {"OMP_WAIT_POLICY": "passive"},
    )
    kill_once(process, lambda: scored(broken) >= 30)
    reached = scored(broken)
    assert 30 <= reached < needed, "killed neither in the first generation nor after the end"
    resumed, calls = search(broken, strategy, settings)
    assert calls == needed - reached
    for name in ("trace.csv", "scores.csv", "best.json"):
        assert (broken / name).read_text() == (whole / name).read_text()
    assert resumed.front == expected.front and resumed.answer == expected.answer
