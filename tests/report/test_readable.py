"""Numbers and architectures as they are printed."""

from __future__ import annotations

import math

import pytest

from tvtfast.report import formatting
from tvtfast.report.architecture import arch_view, compact


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (850, "850"),
        (999.7, "1.00 K"),
        (6_100_000, "6.10 M"),
        (999_999, "1.00 M"),
        (1.3216e9, "1.32 G"),
        (math.nan, "–"),
    ],
)
def test_count(value: float, text: str) -> None:
    assert formatting.count(value).replace("\N{NO-BREAK SPACE}", " ") == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(1234.4, "1234"), (850, "850.0"), (-0.015, "-0.01500"), (2e14, "2.000e+14"), (math.inf, "–")],
)
def test_number(value: float, text: str) -> None:
    assert formatting.number(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(-0.001, "0.00"), (-0.456, "\N{MINUS SIGN}0.46"), (math.nan, "–")]
)
def test_correlation(value: float, text: str) -> None:
    assert formatting.correlation(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.042, "42 ms"),
        (12.34, "12.3 s"),
        (59.97, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3599.6, "1 h 00 min"),
        (7620, "2 h 07 min"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert formatting.duration(seconds).replace("\N{NO-BREAK SPACE}", " ") == text


def test_rate() -> None:
    assert formatting.rate(10, 5) == "2.00"
    assert formatting.rate(10, 0) == "–"


def test_lists_as_long_as_the_depth_count_blocks() -> None:
    view = arch_view('{"depth":2,"hidden_dim":216,"mlp_ratio":[3.5,4.0],"num_heads":[3,4]}')
    assert view.facts == (("depth", "2"), ("hidden_dim", "216"))
    (table,) = view.tables
    assert (table.axis, table.length) == ("Block", 2)
    assert table.rows == (("mlp_ratio", ("3.5", "4")), ("num_heads", ("3", "4")))


def test_lists_as_long_as_a_list_of_depths_count_stages() -> None:
    (table,) = arch_view('{"base_dim":24,"depth":[2,6,4],"num_heads":[2,4,8]}').tables
    assert table.axis == "Stage"
    assert [name for name, _ in table.rows] == ["depth", "num_heads"]
    (table,) = arch_view('{"depths":[1,2,1,1],"kernels":[8,4,4,4],"heads":32}').tables
    assert table.axis == "Stage"


def test_other_forms_keep_their_values() -> None:
    view = arch_view('{"stages":[{"kernel":3}],"flag":true,"token":null,"path":[1,2]}')
    assert view.facts == (("stages", '[{"kernel": 3}]'), ("flag", "true"), ("token", "null"))
    assert [table.axis for table in view.tables] == ["Index"]


@pytest.mark.parametrize("text", ["not json", "[1, 2]", "7"])
def test_text_that_is_no_object_is_kept(text: str) -> None:
    assert arch_view(text).facts == (("arch", text),)


def test_compact() -> None:
    assert compact('{"depth":2,"mlp_ratio":[3.5,4.0]}') == "depth 2 · mlp_ratio 3.5 4"
