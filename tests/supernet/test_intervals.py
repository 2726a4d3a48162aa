"""Which channels narrower widths take."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tvtfast import spaces
from tvtfast.supernet import Interval, intervals, usage

ascending = st.sets(st.integers(1, 60), min_size=1, max_size=10).map(lambda s: tuple(sorted(s)))


@settings(deadline=None)
@given(widths=ascending)
def test_cyclic_intervals_follow_one_another_around_the_ring(widths):
    found = intervals(widths, "cyclic")
    total = widths[-1]
    laid = [channel for width in widths[:-1] for channel in found[width][0].channels]
    assert laid == [place % total for place in range(sum(widths[:-1]))]
    assert found[total] == (Interval(0, total, total),)


@settings(deadline=None)
@given(widths=ascending)
def test_cyclic_usage_differs_by_at_most_one(widths):
    counts = usage(widths, "cyclic")
    assert sum(counts) == sum(widths)
    assert set(counts) <= {sum(widths) // widths[-1], -(-sum(widths) // widths[-1])}


@settings(deadline=None)
@given(widths=ascending)
def test_ordinal_and_bilateral_take_the_ends(widths):
    total = widths[-1]
    for width, (one,) in intervals(widths, "ordinal").items():
        assert one.channels == tuple(range(width))
    for width, (first, last) in intervals(widths, "bilateral").items():
        assert first.channels == tuple(range(width))
        assert last.channels == tuple(range(total - width, total))
    assert usage(widths, "bilateral") == usage(widths, "bilateral")[::-1]
    falling = usage(widths, "ordinal")
    assert falling == sorted(falling, reverse=True) and falling[-1] == 1


@settings(deadline=None)
@given(total=st.integers(1, 50), data=st.data())
def test_pieces_are_the_channels(total, data):
    start = data.draw(st.integers(0, total - 1))
    interval = Interval(start, data.draw(st.integers(1, total)), total)
    joined = [begin + place for begin, length in interval.pieces for place in range(length)]
    assert tuple(joined) == interval.channels
    assert len(set(joined)) == interval.width
    assert len(interval.pieces) == 1 + (start + interval.width > total)
    assert interval.is_whole == (joined == list(range(total)))


def test_the_tenths_of_vitas():
    space = spaces.get("vitas-deit")
    for widths in (space.embed_dims, space.qkv_dims, space.mlp_dims):
        assert set(usage(widths, "cyclic")) == {5, 6}
        assert (min(usage(widths, "ordinal")), max(usage(widths, "ordinal"))) == (1, 10)


def test_what_does_not_exist():
    with pytest.raises(ValueError, match="allowed: ordinal, bilateral, cyclic"):
        intervals((1, 2), "circular")
    with pytest.raises(ValueError, match="do not ascend"):
        intervals((2, 1), "cyclic")
    with pytest.raises(ValueError, match="an interval of 3 channels from 0 on does not exist"):
        Interval(0, 3, 2)
