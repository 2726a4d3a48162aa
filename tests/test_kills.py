"""Long commands are killed in every way and continued: the same results, and never a traceback."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs POSIX signals"),
]


@pytest.mark.parametrize("command", ["search", "teacher", "distill", "grow", "supernet"])
def test_killed_and_continued(command, tmp_path, load_program):
    harness = load_program(Path(__file__).with_name("kills.py"))
    harness.prepare(tmp_path)
    found = list(harness.kills(command, tmp_path, harness.SIGNALS, seed=1, a_run=3))
    assert [one.number for one in found] == list(harness.SIGNALS)
    assert not [one.trouble for one in found if one.trouble]
