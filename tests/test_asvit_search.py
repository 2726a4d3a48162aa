"""As-ViT's search of seed topologies by its own scores: it learns, and survives being killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
import torch

import tvtfast

STEPS = 50
SCRIPT = """
import sys
import torch
import tvtfast

tvtfast.search(
    "asvit",
    strategy="reinforce",
    trials=50,
    proxies=("length_distortion", "ntk_condition"),
    images=torch.load(sys.argv[2], weights_only=True),
    run_dir=sys.argv[1],
)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs POSIX signals")
def test_the_policy_narrows_and_a_killed_search_repeats_it(tmp_path):
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    torch.save(images, tmp_path / "images.pt")
    broken = tmp_path / "broken"
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, broken, tmp_path / "images.pt"])
    deadline = time.monotonic() + 300
    while reached(broken) < 15 and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert 15 <= reached(broken) < STEPS, "killed neither at the start nor after the end"

    whole = search(tmp_path / "whole", images)
    assert whole.evaluated > search(broken, images).evaluated
    for name in ("trace.csv", "best.json"):
        assert (broken / name).read_text() == (tmp_path / "whole" / name).read_text()
    trace = pd.read_csv(broken / "trace.csv")
    assert len(trace) == STEPS + 1
    assert trace["entropy"].iloc[-10:].max() < trace["entropy"].iloc[:10].min()


def search(folder, images):
    return tvtfast.search(
        "asvit",
        strategy="reinforce",
        trials=STEPS,
        proxies=("length_distortion", "ntk_condition"),
        images=images,
        run_dir=folder,
    )


def reached(folder: os.PathLike[str]) -> int:
    try:
        return len(pd.read_csv(os.path.join(folder, "trace.csv")))
    except (FileNotFoundError, pd.errors.EmptyDataError):
        return 0
