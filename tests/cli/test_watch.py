"""``tvtfast watch``: what it refuses, and that it serves the page of a run until it is ended."""

from __future__ import annotations

import http.client
import re
import signal
import subprocess
import sys

import pytest

from tvtfast.cli import main
from tvtfast.report import draw_live

RECORD = {
    "command": "search",
    "status": "running",
    "started": "2026-01-01T00:00:00+00:00",
    "heartbeat": "2026-01-01T00:01:00+00:00",
    "process": {"pid": 7, "host": "here"},
    "settings": {},
    "cost": {},
}


@pytest.fixture
def run(tmp_path):
    (tmp_path / "run.json").write_text("{}")
    draw_live(tmp_path, RECORD, {"works": [], "log": []})
    return tmp_path


@pytest.mark.parametrize("port", [-1, 65_536])
def test_a_port_that_no_machine_has(run, port, capsys):
    assert main(["watch", str(run), "--port", str(port)]) == 2
    assert f"--port is {port}" in capsys.readouterr().err


def test_a_folder_without_a_run_or_without_a_page(tmp_path, capsys):
    assert main(["watch", str(tmp_path / "no")]) == 2
    assert "there is no folder" in capsys.readouterr().err
    assert main(["watch", str(tmp_path)]) == 2
    assert "holds no run" in capsys.readouterr().err
    (tmp_path / "run.json").write_text("{}")
    assert main(["watch", str(tmp_path)]) == 2
    assert "has no page of its work" in capsys.readouterr().err


def test_it_serves_until_it_is_ended(run):
    command = [sys.executable, "-m", "tvtfast", "watch", str(run)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as program:
        assert program.stderr is not None
        said = program.stderr.readline()
        found = re.match(r"http://(127\.0\.0\.1):(\d+) shows ", said)
        assert found is not None, said
        connection = http.client.HTTPConnection(found[1], int(found[2]), timeout=20)
        connection.request("GET", "/live/data.js")
        assert connection.getresponse().read().startswith(b"tvtfastLive(")
        program.send_signal(signal.SIGTERM)
        assert program.wait(30) == 0, "to end it is how it is used"
