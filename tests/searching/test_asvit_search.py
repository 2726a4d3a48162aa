"""As-ViT's search of seed topologies by its own scores: it learns, and survives being killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

STEPS = 50
SCRIPT = """
import sys
import torch
import tvtfast

tvtfast.search(
    "asvit",
    strategy="reinforce",
    trials=int(sys.argv[3]),
    proxies=("length_distortion", "ntk_condition"),
    images=torch.load(sys.argv[2], weights_only=True),
    run_dir=sys.argv[1],
)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs POSIX signals")
def test_the_policy_narrows_and_a_killed_search_repeats_it(tmp_path, kill_once):
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    torch.save(images, tmp_path / "images.pt")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    process = start(broken)
    kill_once(process, lambda: reached(broken) >= 15)
    assert 15 <= reached(broken) < STEPS, "killed neither at the start nor after the end"

    assert start(broken).wait() == 0
    assert start(whole).wait() == 0
    for name in ("trace.csv", "best.json"):
        assert (broken / name).read_text() == (whole / name).read_text()
    trace = pd.read_csv(broken / "trace.csv")
    assert len(trace) == STEPS + 1
    assert trace["entropy"].iloc[-10:].max() < trace["entropy"].iloc[:10].min()


def start(folder: Path) -> subprocess.Popen[bytes]:
    """The search in a process and a thread of its own: the bits of a sum depend on the threads
    that share it, and other tests change how many those are."""
    command = [sys.executable, "-c", SCRIPT, folder, folder.parent / "images.pt", str(STEPS)]
    return subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})


def reached(folder: Path) -> int:
    try:
        return len(pd.read_csv(folder / "trace.csv"))
    except (FileNotFoundError, pd.errors.EmptyDataError):
        return 0
