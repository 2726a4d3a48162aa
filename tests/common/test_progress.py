"""A bar where it can be drawn over, lines where not, and no thread in either case."""

import io
import subprocess
import sys
import threading

import pytest
from tqdm.auto import tqdm

from tvtfast.common.progress import note, track


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def lines(capsys):
    return lambda: capsys.readouterr().err.splitlines()


def test_elsewhere_a_line_every_ten_per_cent(lines):
    with track("scoring", total=200, unit="candidate", show=True) as bar:
        for _ in range(200):
            bar.update()
    found = lines()
    assert len(found) == 10
    assert found[0].startswith("scoring: 20 of 200 candidates (10%), 0 s")
    assert found[-1].startswith("scoring: 200 of 200 candidates (100%)")
    assert not any("\r" in line for line in found)


def test_what_was_done_before_is_not_told_again(lines):
    with track("training", total=100, unit="step", initial=55, show=True) as bar:
        bar.remark("loss 0.5")
        bar.update(4)
        assert not lines()
        bar.describe("training on digits, 81.0 % after epoch 3")
        bar.update(1)

    told = "training on digits, 81.0 % after epoch 3: 60 of 100 steps (60%), 0 s, loss 0.5"
    assert lines() == [told]


def test_large_steps_are_one_line(lines):
    with track("scoring", total=3, unit="candidate", show=True) as bar:
        bar.update(3)
    assert len(lines()) == 1


def test_work_without_a_known_end_is_told_every_ten_units(lines):
    with track("growing", unit="step", show=True) as bar:
        for _ in range(25):
            bar.update()
    assert [line.split(",")[0] for line in lines()] == ["growing: 10 steps", "growing: 20 steps"]


def test_what_is_left_out_ends_the_work(lines):
    with track("racing", total=1000, unit="image", show=True) as bar:
        bar.update(320)
        bar.finish()
    assert [line.split(",")[0] for line in lines()] == [
        "racing: 320 of 1",
        "racing: 320 of 320 images (100%)",
    ]


def test_nothing_is_shown_unasked(lines):
    with track("scoring", total=2, unit="candidate", show=False) as bar:
        bar.update(2)
        bar.describe("x")
        bar.remark("y")
        bar.finish()
    assert bar.n == 2 and lines() == []


def test_a_terminal_has_a_bar_and_notes_stand_above_it(monkeypatch):
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    with track("scoring", total=4, unit="candidate", show=True) as bar:
        bar.update(2)
        bar.describe("racing")
        note("a note")
        bar.remark("loss 1")
        bar.finish()
    shown = stream.getvalue()
    assert "\rracing" in shown and "2/2" in shown and "a note\n" in shown


def test_no_thread_is_left_and_the_caller_s_bars_keep_theirs(monkeypatch):
    interval = tqdm.monitor_interval
    before = threading.active_count()
    for stream, show in ((Terminal(), True), (io.StringIO(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        with track("scoring", total=4, unit="candidate", show=show) as bar:
            bar.update(4)
            assert threading.active_count() == before
    assert tqdm.monitor_interval == interval > 0


def test_a_search_leaves_no_thread_behind():
    """In a process of its own, in which nobody else has drawn a bar."""
    code = (
        "import threading, tvtfast\n"
        "for shown in (False, True):\n"
        "    tvtfast.search('pit', trials=3, proxies='params', strategy='random', progress=shown)\n"
        "assert not [t for t in threading.enumerate() if 'monitor' in type(t).__name__.lower()]\n"
        "assert threading.active_count() == 1, threading.enumerate()"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout == "" and "scoring: 3 of 3 candidates" in finished.stderr
