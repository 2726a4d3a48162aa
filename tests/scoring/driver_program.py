"""A search whose workers are told by the command line: ``driver_program.py FOLDER EXECUTOR``.

EXECUTOR is a number of processes, ``ray`` for a cluster of its own, or an address of a cluster.
"""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import worker_units

import tvtfast


def scored(folder: Path) -> int:
    """Candidates of a search in a folder that have a score of the slow proxy."""
    path = folder / "scores.sqlite"
    if not path.exists():
        return 0
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT COUNT(*) FROM scores WHERE fields LIKE '%\"slow\"%'"
        try:
            return int(connection.execute(query).fetchone()[0])
        except sqlite3.OperationalError:  # the table is not there yet, or is being written
            return 0


def executor(told: str):
    """Who scores."""
    if told.isdecimal() or told == "ray":
        return int(told) if told.isdecimal() else told
    from tvtfast.scoring.executors.ray_cluster import RayCluster

    return RayCluster(told, workers=2)


if __name__ == "__main__":
    tvtfast.search(
        "autoformer-tiny",
        strategy="random",
        trials=40,
        proxies=[worker_units.slow, "params"],
        method="rank_sum",
        run_dir=sys.argv[1],
        executor=executor(sys.argv[2]),
        images="digits",
        batch_size=2,
    )
