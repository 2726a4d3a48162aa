"""A run folder is that of one search; others are refused, or go elsewhere."""

from __future__ import annotations

import json

import pytest
import torch

import tvtfast
from tvtfast.cli import main
from tvtfast.common.run_folder import BusyError, OtherRunError
from tvtfast.data import FrozenBatch
from tvtfast.models import CifarResNet
from tvtfast.proxies import Proxy

SIZES = {"params": (1e6, 4e7)}


def batch(seed=0):
    drawn = torch.Generator().manual_seed(seed)
    return FrozenBatch.from_tensors(torch.randn(2, 3, 32, 32, generator=drawn))


def search(folder, **changes):
    arguments = {"trials": 2, "proxies": ["params"], "constraints": SIZES, "images": batch()}
    return tvtfast.search("pit", run_dir=folder, **arguments | changes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")
    search(folder)
    return folder


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"seed": 1}, "seed was 0, now 1"),
        ({"trials": 1}, "trials was 2, now 1"),
        ({"top_k": 3}, "top_k was 10, now 3"),
        ({"method": "rank_sum"}, "method was 'minmax_sum', now 'rank_sum'"),
        ({"patch_size": 8}, "model_options was"),
        ({"proxies": ["flops"]}, "scored was"),
        ({"objectives": ["params"]}, "objectives was"),
        ({"strategy": "evolution"}, "strategy was 'random', now 'evolution'"),
        ({"constraints": {"params": (1e6, 3e7)}}, "sizes was"),
        ({"images": batch(1)}, "images_fingerprint was"),
        ({"dtype": "bfloat16"}, "dtype was"),
    ],
)
def test_another_search_is_refused(folder, changes, difference):
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(OtherRunError, match=rf"holds another run \(.*{difference}"):
        search(folder, **changes)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_another_teacher_is_another_search(tmp_path):
    def taught(seed):
        module = tvtfast.initialize_(CifarResNet(8, 10), seed=seed)
        teacher = tvtfast.load_teacher(module, input_size=32)
        return search(tmp_path, teacher=teacher, proxies=["teacher_aware"], patch_size=16)

    taught(1)
    with pytest.raises(OtherRunError, match="teacher_fingerprint was"):
        taught(2)


def test_a_second_search_at_once_is_told_so(tmp_path):
    refused = []

    def meanwhile(inputs):
        if not refused:
            refused.append(True)
            with pytest.raises(BusyError, match="works on"):
                search(tmp_path, proxies=[Proxy("meanwhile", meanwhile)])
        return float(inputs.params)

    search(tmp_path, proxies=[Proxy("meanwhile", meanwhile)])
    assert refused and json.loads((tmp_path / "run.json").read_text())["status"] == "finished"


def test_the_default_folder_of_another_search_has_a_hash(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    flags = [
        "search",
        "--space",
        "pit",
        "--proxies",
        "params",
        "--trials",
        "2",
        "--batch-size",
        "2",
    ]
    for size in ("16", "8", "8"):
        assert main([*flags, "--patch-size", size]) == 0
    told = capsys.readouterr()
    first, other = sorted(path.name for path in (tmp_path / "runs").iterdir())
    assert first == "digits-pit-seed0" and other.startswith(f"{first}-")
    assert f"report        runs/{other}/report.html" in told.out
    assert (tmp_path / "runs" / other / "config.yaml").exists()
    named = [*flags, "--patch-size", "8", "--output-dir", f"runs/{first}"]
    assert main(named) == 2
    assert "holds another run (model_options was" in capsys.readouterr().err
