"""Every operator beside its baselines; every result is checked before it is timed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.cases import FORMS, Case, builders

GROUPS = builders()


@pytest.fixture(scope="module")
def case(request: pytest.FixtureRequest) -> Case:
    group, name = request.param
    build: Callable[[], Case] = GROUPS[group][name]
    case = build()
    case.check()
    return case


@pytest.mark.parametrize(
    ("case", "form"),
    [
        pytest.param((group, name), form, id=f"{group}-{name}-{form}")
        for group, cases in GROUPS.items()
        for name in cases
        for form in ("ours", *FORMS[group])
    ],
    indirect=["case"],
)
def test_operator(case: Case, form: str, benchmark: BenchmarkFixture) -> None:
    benchmark.group = case.label
    benchmark.extra_info["bytes"] = case.bytes
    benchmark(case.ours if form == "ours" else case.baselines[form])
