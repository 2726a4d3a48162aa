"""Scores of one part are handed over while the next is computed, and none is lost."""

from __future__ import annotations

import pytest
import torch

from tvtfast.scoring.arriving import Arriving, one_behind


def parts(made, count, error=None):
    for number in range(count):
        made.append(number)
        yield number
    if error is not None:
        raise error


@pytest.mark.parametrize("count", range(4))
def test_parts_come_when_the_next_is_made(count):
    made, found = [], []
    for part in one_behind(parts(made, count)):
        assert len(made) == min(part + 2, count)
        found.append(part)
    assert found == made == list(range(count))


@pytest.mark.parametrize("error", [MemoryError("full"), KeyboardInterrupt()])
@pytest.mark.parametrize("count", range(3))
def test_what_is_made_comes_before_an_error(count, error):
    found = []
    with pytest.raises(type(error)):
        for part in one_behind(parts([], count, error)):
            found.append(part)
    assert found == list(range(count))


def test_a_reader_that_stops_gets_no_more():
    closed = []

    def watched():
        try:
            yield from range(5)
        finally:
            closed.append(True)

    reader = one_behind(watched())
    assert next(reader) == 0
    reader.close()
    assert closed == [True] and list(reader) == []


def test_values_are_those_of_the_tensor():
    x = torch.randn(3, 4, dtype=torch.float64)
    assert (Arriving(x).values() == x.numpy()).all()
