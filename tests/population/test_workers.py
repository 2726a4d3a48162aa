"""Shares of images go through their tasks in order, and nothing is lost on the way."""

from __future__ import annotations

import threading
import time
from functools import partial

import pytest
import torch

from tvtfast.population.workers import Workers

CPU = torch.device("cpu")


@pytest.fixture(params=(1, 2, 3))
def workers(request, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: request.param)
    found = Workers(CPU)
    assert found.count == request.param
    yield found
    found.close()


def test_a_share_keeps_its_order_and_waits_for_no_other(workers):
    done = []
    shares = [(0, 1), (1, 2), (2, 3), (3, 4)]

    def task(share, number):
        time.sleep(0.001 * (1 + share[0] % 2))
        assert not torch.is_grad_enabled()
        done.append((share, number))

    for batch in range(6):
        tasks = {s: [partial(task, s, 2 * batch), partial(task, s, 2 * batch + 1)] for s in shares}
        workers.start(tasks)
    workers.finish()
    for share in shares:
        assert [number for name, number in done if name == share] == list(range(12))


def test_other_shares_wait_for_all(workers):
    done = []
    workers.start({(i, i + 1): [partial(done.append, i)] for i in range(4)})
    halves = {(0, 2): [partial(done.append, 4)], (2, 4): [partial(done.append, 5)]}
    workers.start(halves)
    workers.finish()
    assert sorted(done[:4]) == [0, 1, 2, 3] and sorted(done[4:]) == [4, 5]


def test_few_shares_are_split_and_done_on_return(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    workers = Workers(CPU)
    together = threading.Barrier(3, timeout=10)
    assert workers.start({(0, 1): [lambda: together.wait() and None] * 3}) == ()
    workers.close()


def test_an_exception_ends_the_share_and_reaches_the_caller(workers):
    done = []

    def fail():
        raise ValueError("no")

    def both():
        workers.start({(0, 1): [fail], (1, 2): [partial(done.append, 1)], (2, 3): [fail]})
        workers.start({(i, i + 1): [partial(done.append, 10 + i)] for i in range(3)})
        workers.finish()

    with pytest.raises(ValueError, match="no"):
        both()
    workers.settle()
    assert 10 not in done and 12 not in done
    workers.start({(i, i + 1): [partial(done.append, 20 + i)] for i in range(3)})
    workers.finish()
    assert {20, 21, 22} <= set(done)


def test_threads_are_given_back():
    before = torch.get_num_threads()
    workers = Workers(CPU)
    if workers.count == 1:
        pytest.skip("one thread")
    workers.start({(i, i + 1): [lambda: None] for i in range(workers.count)})
    workers.finish()
    assert torch.get_num_threads() == before
    workers.close()
