"""Runs as their folders tell them, side by side and in lists."""

from __future__ import annotations

import html
import json
import re

import pytest

from tvtfast.cli import main
from tvtfast.common.foreign import BadFileError
from tvtfast.common.identity import Identity
from tvtfast.common.run_folder import RunError, RunFolder
from tvtfast.runs import compare, find_runs, read_run
from tvtfast.runs.comparing import MISSING


def finished(folder, command="search", *, trace=(1.0, 2.0, 4.0), best=None, **settings):
    run = RunFolder(folder, Identity(command, settings), holds=lambda path: True)
    with run.claimed():
        lines = [f"{number},{value}" for number, value in enumerate(trace, start=1)]
        (folder / "trace.csv").write_text("\n".join(["generation,best", *lines, ""]))
        if best is not None:
            (folder / "best.json").write_text(json.dumps(best))
    return folder


BEST = {"score": 1.5, "params": 6000000, "flops": 10**9, "arch": {}}


@pytest.fixture
def two(tmp_path):
    first = finished(
        tmp_path / "runs" / "a", best=BEST, trials=10, options={"size": 32, "n": 1}, seed=0
    )
    second = finished(
        tmp_path / "runs" / "b", trace=(3.0, 3.5), trials=20, options={"size": 64, "n": 1}, extra=[]
    )
    return first, second


def test_a_folder_says_what_ran_and_how_it_ended(two):
    run = read_run(two[0])
    assert (run.command, run.status) == ("search", "finished")
    assert run.best == {"score": 1.5, "params": 6e6, "flops": 1e9}
    assert run.curve == {"generation": [1.0, 2.0, 3.0], "best": [1.0, 2.0, 4.0]}
    assert run.cost.starts == 1 and read_run(two[1]).best == {}


def test_a_training_ends_with_accuracies(tmp_path):
    folder = finished(tmp_path / "student", "distill")
    (folder / "student.json").write_text(json.dumps({"accuracy": 71.5, "held_out_accuracy": None}))
    assert read_run(folder).best == {"accuracy": 71.5}


def test_a_run_whose_process_died_is_abandoned(two):
    record = json.loads((two[0] / "run.json").read_text())
    record |= {"status": "running", "process": record["process"] | {"created": 1.0}}
    (two[0] / "run.json").write_text(json.dumps(record))
    assert read_run(two[0]).status == "abandoned"


def test_what_is_no_run_or_damaged_is_told(tmp_path, two):
    with pytest.raises(RunError, match="no run folder"):
        read_run(tmp_path)
    (two[1] / "best.json").write_text('{"score": ')
    with pytest.raises(BadFileError, match=r"best\.json"):
        read_run(two[1])
    runs, left_out = find_runs(tmp_path)
    assert [run.folder for run in runs] == [two[0]]
    assert [folder for folder, _ in left_out] == [two[1]]


def test_settings_that_differ_are_named_with_their_parts(two):
    found = compare(*map(read_run, two))
    assert found.settings == {
        "trials": ("10", "20"),
        "options.size": ("32", "64"),
        "seed": ("0", MISSING),
        "extra": (MISSING, "[]"),
    }
    assert found.best["score"] == (1.5, None)
    assert found.curves["best"] == ([1.0, 2.0, 4.0], [3.0, 3.5])
    assert not compare(*[read_run(two[0])] * 2).settings


def test_a_setting_without_parts_is_no_difference_of_its_own(tmp_path):
    runs = [
        read_run(finished(tmp_path / name, limits=limits))
        for name, limits in (("a", {"params": 5}), ("b", {}))
    ]
    assert compare(*runs).settings == {"limits.params": ("5", MISSING)}


def test_the_terminal_shows_lists_and_comparisons(two, capsys):
    assert main(["runs", "list", str(two[0].parent)]) == 0
    out = capsys.readouterr().out
    assert "search, finished" in out and "score 1.5" in out and str(two[1]) in out
    assert main(["runs", "compare", *map(str, two)]) == 0
    out = capsys.readouterr().out
    assert "trials: 10 -> 20" in out and "options.size: 32 -> 64" in out
    assert "▁▃█  4" in out and "▁█  3.5" in out, "curves from the least to the greatest value"
    assert max(map(len, out.splitlines())) <= max(80, len(str(two[0])) + 10)
    assert main(["runs", "compare", *map(str, two), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["settings"]["trials"] == ["10", "20"]


def test_a_comparison_is_a_page_too(two, tmp_path, capsys):
    (two[0] / "report.html").touch()
    page = tmp_path / "pages" / "both.html"
    page.parent.mkdir()
    arguments = ["runs", "compare", *map(str, two), "--html", str(page)]
    assert main(arguments) == 0
    assert f"page  {page}" in capsys.readouterr().out
    text = html.unescape(page.read_text("utf-8"))
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", text)
    row = cells.index("trials")
    assert cells[row : row + 3] == ["trials", "10", "20"]
    assert cells[cells.index("score") :][:4] == ["score", "1.500", "–", "–"]
    (link,) = re.findall(r'<a href="([^"]*)">its own report', text)
    assert (page.parent / link).resolve() == (two[0] / "report.html").resolve()
    assert (page.parent / "both-curves.png").is_file()
    assert main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["page"] == str(page)
    assert main(["runs", "compare", *map(str, two), "--html", str(tmp_path)]) == 2
    assert "--html" in capsys.readouterr().err


def test_what_cannot_be_done_is_said(two, tmp_path, capsys):
    for arguments, said in (
        (["lst"], "did you mean list?"),
        (["list", str(tmp_path / "none")], "there is no folder"),
        (["compare", str(two[0])], "compare takes two run folders, got 1"),
        (["merge", "a.sqlite"], "merge takes stores and --output"),
        (["export", str(tmp_path / "none.sqlite")], "there is no score store"),
    ):
        assert main(["runs", *arguments]) == 2
        assert said in capsys.readouterr().err
