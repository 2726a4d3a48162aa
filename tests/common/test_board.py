"""What a run shows of itself, and who draws it."""

import threading
import time

import pytest

from tvtfast.common import board as boards
from tvtfast.common.board import Board, Painter
from tvtfast.common.fallbacks import logger
from tvtfast.common.progress import track, under_way


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(boards, "PERIOD", 0.01)


def wait_for(true, seconds=20):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_work_of_the_own_thread_is_shown_and_ends():
    board = Board()
    with track("scoring", total=8, unit="candidate", initial=2, show=False) as bar:
        bar.update(3)
        bar.remark("loss 0.5")
        other = threading.Thread(target=lambda: track("else", total=1, unit="step", show=False))
        other.start()
        other.join()
        [work] = board.look()["works"]
        assert (work["what"], work["done"], work["total"]) == ("scoring", 5, 8)
        assert work["text"] == "loss 0.5"
        assert work["remaining"] == pytest.approx(work["seconds"], rel=0.2, abs=0.05)  # 3 of 3
        assert len(under_way()) == 2
    assert board.look()["works"] == []
    [forgotten] = under_way()
    forgotten.close()


def test_nothing_is_foretold_before_anything_is_done():
    with track("scoring", total=8, unit="candidate", initial=2, show=False) as bar:
        assert bar.remaining is None
    with track("growing", unit="step", show=False) as bar:
        bar.update()
        assert bar.remaining is None


def test_a_later_view_takes_the_place_of_an_earlier_one():
    board = Board()
    board.offer("curves", lambda: 1)
    board.offer("curves", lambda: 2)
    assert board.look()["curves"] == 2


def test_the_log_is_kept_while_somebody_listens():
    board = Board()
    with board.listening():
        logger.warning("a fall back")
    logger.warning("too late")
    [line] = board.look()["log"]
    assert line.endswith("WARNING a fall back")


def test_a_board_is_drawn_until_the_block_ends_and_once_more(quick):
    seen = []
    painter = Painter(Board(), seen.append)
    with painter:
        wait_for(lambda: len(seen) > 2)
    drawn = len(seen)
    time.sleep(0.05)
    assert len(seen) == drawn
    painter.finish()
    assert len(seen) == drawn + 1


def test_a_short_run_is_not_drawn():
    seen = []
    painter = Painter(Board(), seen.append)
    with painter:
        pass
    painter.finish()
    assert seen == []


def test_who_cannot_draw_does_not_disturb(quick, caplog):
    tries = []

    def fail(shown):
        tries.append(shown)
        raise OSError("the disk is full")

    painter = Painter(Board(), fail)
    with painter:
        wait_for(lambda: tries)
        time.sleep(0.05)
    painter.finish()
    assert len(tries) == 1
    assert "drawn no more" in caplog.text and "the disk is full" in caplog.text


def test_without_a_draughtsman_there_is_no_thread(quick):
    before = threading.active_count()
    with Painter(Board(), None) as painter:
        assert threading.active_count() == before
    painter.finish()


def test_pictures_take_a_small_share_of_the_time(quick, monkeypatch):
    monkeypatch.setattr(boards, "_SHARE", 0.5)
    times = []

    def slow(shown):
        times.append(time.monotonic())
        time.sleep(0.1)

    with Painter(Board(), slow):
        wait_for(lambda: len(times) > 2)
    assert times[2] - times[1] >= 0.3  # 0.1 of drawing, then at least 0.1 / 0.5 of waiting
