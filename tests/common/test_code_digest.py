"""Digests of code change with what the code does, and with nothing else."""

from __future__ import annotations

import functools

import pytest

from tvtfast.common.code_digest import code_digest

SOURCE = """
SCALE = 3

def helper(x):
    return x * SCALE

class Base:
    def offset(self):
        return 1

class Model(Base):
    kind = "plain"

    def forward(self, x):
        return helper(x) + self.offset()
"""


def digest(source):
    names = {"__name__": "somebody"}
    exec(compile(source, "anywhere.py", "exec"), names)
    return code_digest(names["Model"])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("SCALE = 3", "SCALE = 4"),
        ("x * SCALE", "x + SCALE"),
        ("return 1", "return 2"),
        ('"plain"', '"bold"'),
        ("helper(x) +", "helper(x) -"),
        ("class Model(Base):", "class Model(Base):\n    more = 1"),
    ],
)
def test_what_code_does_is_in_its_digest(before, after):
    assert before in SOURCE
    assert digest(SOURCE.replace(before, after)) != digest(SOURCE)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("SCALE = 3", "SCALE = 3  # a constant"),
        ("\nclass Model", "\n\n\nUNUSED = 7\n\nclass Model"),
        ("def helper(x):", "def other(x):\n    return x\n\ndef helper(x):"),
    ],
)
def test_what_it_does_not_use_is_not(before, after):
    assert before in SOURCE
    assert digest(SOURCE.replace(before, after)) == digest(SOURCE)


def test_closures_defaults_and_partials():
    def made(value, default=1):
        return lambda x, y=default: x + y + value

    assert code_digest(made(1)) == code_digest(made(1)) != code_digest(made(2))
    assert code_digest(made(1, 2)) != code_digest(made(1))
    assert code_digest(functools.partial(made, 1)) != code_digest(functools.partial(made, 2))


def test_what_names_itself_ends():
    def endless():
        return endless

    assert code_digest(endless) == code_digest(endless)
