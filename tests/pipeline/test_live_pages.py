"""Pages of ``tvtfast run`` and of its tournament, looked at while the command works."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

FLAGS = (
    *("--space", "run-small", "--budget", "0.035", "--trials", "8"),
    *("--img-size", "16", "--patch-size", "8", "--teacher-arch", "resnet8"),
    *("--teacher-epochs", "1", "--epochs", "40", "--batch-size", "16", "--augmentation", "light"),
    *("--finalists", "4", "--compare", "false", "--device", "cpu", "--quiet"),
)


@pytest.fixture(scope="module")
def working(small, archive, tmp_path_factory):
    """The command at work, and its folder."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    command = [sys.executable, "-m", "tvtfast", "run", "--import", "run_small"]
    given = ["--data-set", str(archive), "--output-dir", str(folder)]
    path = os.pathsep.join([str(Path(small.__file__).parent), *sys.path])
    program = subprocess.Popen(
        [*command, *given, *FLAGS],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    yield program, folder
    program.kill()
    program.communicate()


def data(folder):
    """What the page of a folder shows; ``None`` where it has none yet."""
    path = folder / "live" / "data.js"
    if not path.exists():
        return None
    text = path.read_text("utf-8")
    return json.loads(re.fullmatch(r"tvtfastLive\((.*)\);\n", text, re.DOTALL)[1])


def wait(program, found, seconds=300.0):
    """Wait until there is something; it has to be there before the command ends."""
    deadline = time.monotonic() + seconds
    while not (seen := found()):
        assert program.poll() is None, program.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return seen


def test_a_run_and_its_tournament_are_seen_while_they_work(working, browser):
    program, folder = working
    contest = folder / "tournament"

    def with_curves():
        shown = data(contest)
        return shown if shown is not None and shown.get("curves") else None

    shown = wait(program, with_curves)
    assert shown["status"] == "running" and shown["report"] is None
    for curve in shown["curves"].values():
        assert len(curve["x"]) == len(curve["y"]) > 0 and curve["x"] == sorted(curve["x"])
        assert all(0 <= accuracy <= 100 for accuracy in curve["y"])
    whole = wait(program, lambda: data(folder))
    assert whole["status"] == "running" and whole["report"] is None
    browser.get((contest / "live" / "index.html").as_uri())
    drawn = "return document.querySelectorAll('#curves .scatterlayer .trace').length"
    assert wait(program, lambda: browser.execute_script(drawn)) >= 1
    status = "return document.getElementById('status').textContent"
    assert browser.execute_script(status).startswith("running")

    output, _ = program.communicate(timeout=600)
    assert program.returncode == 0, output
    ended, played = data(folder), data(contest)
    assert ended["status"] == played["status"] == "finished"
    assert ended["report"] == played["report"] == "../report.html"
    assert {"tournament", "tournament/finalists"} & {one["name"] for one in ended["parts"]}
    told = json.loads((contest / "tournament.json").read_text())["courses"]
    assert {name: curve["y"] for name, curve in played["curves"].items()} == {
        name: one["accuracies"] for name, one in told.items()
    }
    until = time.monotonic() + 30
    while not browser.execute_script(status).startswith("finished"):
        assert time.monotonic() < until, "the open page takes in the end"
        time.sleep(0.2)
    assert [line for line in browser.get_log("browser") if line["level"] == "SEVERE"] == []
    for page in (folder / "live" / "index.html", contest / "live" / "index.html"):
        browser.get(page.as_uri())
        links = "return [...document.querySelectorAll('#notice a, #parts a')].map((a) => a.href)"
        found = []
        while not found and time.monotonic() < until + 30:
            found = browser.execute_script(links)
        assert found and all(Path(link.removeprefix("file://")).is_file() for link in found)
