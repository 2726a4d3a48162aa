"""Windows on rounded millions of parameters."""

from __future__ import annotations

from tvtfast.cli.options import constraints
from tvtfast.cli.search import parser
from tvtfast.spaces import get, rounded_millions


def test_the_window_is_that_of_the_rounded_numbers():
    """The published rule, ``low <= round(params / 1e6) <= high``, at every edge."""
    edges = [
        half * 500_000 + step
        for half in range(30)
        for step in (-2, -1, 0, 1, 2)
        if half or step >= 0
    ]
    for low in range(9):
        for high in range(low, 11):
            least, most = rounded_millions(low, high)
            assert [low <= round(n / 1e6) <= high for n in edges] == [
                least <= n <= most for n in edges
            ]
    assert rounded_millions(4, 9) == (3_500_000, 9_499_999)
    assert rounded_millions(4.2, None) == rounded_millions(5, None) == (4_500_001, None)
    assert rounded_millions(None, 9.9) == (None, 9_499_999)


def test_pit_keeps_as_many_as_published():
    space = get("pit")
    inside = space.enumerate({"params": rounded_millions(4, 22)}, num_classes=100)
    assert (len(inside), space.size) == (707, 1600)


def test_the_command_line_rounds_when_it_is_asked_to():
    limits = ["--space", "pit", "--min-param-limits", "4", "--param-limits", "4"]
    plain, rounded = (
        constraints(parser().parse_args([*limits, *flag]))
        for flag in ([], ["--round-param-limits", "true"])
    )
    assert plain == {"params": (4e6, 4e6)} and rounded == {"params": (3_500_000, 4_500_000)}
    space = get("pit")
    assert not space.enumerate(plain) and len(space.enumerate(rounded)) > 10
