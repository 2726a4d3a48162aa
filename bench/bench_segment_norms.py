"""segment_norms beside its baselines; every result is checked before it is timed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.cases import FORMS, Case, builders

GROUP = "segment_norms"
CASES = builders()[GROUP]


@pytest.fixture(scope="module", params=CASES.values(), ids=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    build: Callable[[], Case] = request.param
    case = build()
    case.check()
    return case


@pytest.mark.parametrize("form", ("ours", *FORMS[GROUP]))
def test_segment_norms(case: Case, form: str, benchmark: BenchmarkFixture) -> None:
    benchmark.group = case.label
    benchmark.extra_info["bytes"] = case.bytes
    benchmark(case.ours if form == "ours" else case.baselines[form])
