"""``tvtfast calibrate``: from a table of results to a proxy and what to train next."""

from __future__ import annotations

import json

import pandas as pd
import pytest

import tvtfast
from tvtfast.cli import main

TINY = tvtfast.spaces.get("autoformer-tiny")
FAST = ["--img-size", "32", "--patch-size", "16", "--proxies", "weight_norm"]


@pytest.fixture
def results(tmp_path):
    archs = TINY.sample(12, 3)
    frame = pd.DataFrame(
        {
            "space": TINY.name,
            "arch": [TINY.encode(arch) for arch in archs],
            "distilled_accuracy": 50.0,
            "distilled_held_out_accuracy": [40.0 + 2 * arch.depth for arch in archs],
        }
    )
    path = tmp_path / "results.csv"
    frame.to_csv(path, index=False)
    return path


def test_results_become_a_proxy(results, tmp_path, capsys):
    out = tmp_path / "calibration"
    run = ["calibrate", "--trained", str(results), "--output-dir", str(out), *FAST]
    assert main([*run, "--population", "20", "--next", "2", "--param-limits", "6"]) == 0
    said = capsys.readouterr()
    assert "12 trained architectures change the ranking of weight_norm" in said.out
    assert f"--proxies calibrated:{out}" in said.out and "To train next" in said.out
    assert "accuracies are those of column distilled_held_out_accuracy" in said.err
    rows = pd.read_csv(out / "predictions.csv")
    assert len(rows) == 32
    assert (rows["low"] < rows["predicted"]).all() and (rows["predicted"] < rows["high"]).all()
    assert rows["predicted"].between(55, 75).all(), "the other column is all 50"
    arch = ["--arch", *map(TINY.encode, TINY.sample(2, 8))]
    scored = ["score", *arch, *FAST[:4], "--proxies", f"calibrated:{out}", "--json", "--quiet"]
    assert main(scored) == 0
    cells = json.loads(capsys.readouterr().out)["candidates"]
    assert all(cell["proxies"]["calibrated"]["status"] == "ok" for cell in cells)


def test_few_results_say_so(results, tmp_path, capsys):
    few = pd.read_csv(results).iloc[:3]
    norms = tvtfast.score(few["arch"], space=TINY, proxies=("weight_norm",), img_size=32)
    few["distilled_held_out_accuracy"] = 40 + norms["weight_norm"] / 1000
    few.to_csv(tmp_path / "few.csv", index=False)
    run = ["calibrate", "--trained", str(tmp_path / "few.csv"), "--population", "10", *FAST]
    assert main([*run, "--output-dir", str(tmp_path / "out")]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "3 trained architectures are too few, or too much alike, to change the ranking" in said


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--prior", "naswot"], "--prior is naswot, which is not scored"),
        (["--column", "nothing"], "nothing"),
        (["--population", "0"], "--population is 0; give"),
        (["--next", "0"], "--next is 0; give"),
        (["--next", "9", "--population", "8"], "--next is 9, and 8 of the drawn"),
        (["--proxies", "calibrated:runs/x"], "--proxies names calibrated:runs/x, made from"),
        (["--param-limits", "0.1"], "no architecture of 'autoformer-tiny' has params in"),
    ],
)
def test_bad_flags_are_one_line(flags, message, results, tmp_path, capsys):
    run = ["calibrate", "--trained", str(results), "--output-dir", str(tmp_path / "out"), *FAST]
    assert main([*run, *flags]) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error
    assert not (tmp_path / "out").exists()
