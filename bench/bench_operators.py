"""Every operator beside its baselines, on every device here; results are checked, then timed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from bench.case import Case, Skip
from bench.cases import GROUPS, builders

DEVICES = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
BUILDERS = {device: builders(device) for device in DEVICES}


@pytest.fixture(scope="module")
def case(request: pytest.FixtureRequest) -> Case:
    device, group, name = request.param
    try:
        case = BUILDERS[device][group][name]()
    except Skip as reason:
        pytest.skip(str(reason))
    case.check()
    assert set(case.baselines) <= set(GROUPS[group].FORMS)
    return case


@pytest.mark.parametrize(
    ("case", "form"),
    [
        pytest.param((device, group, name), form, id=f"{device}-{group}-{name}-{form}")
        for device, groups in BUILDERS.items()
        for group, cases in groups.items()
        for name in cases
        for form in ("ours", *GROUPS[group].FORMS)
    ],
    indirect=["case"],
)
def test_operator(case: Case, form: str, benchmark: BenchmarkFixture) -> None:
    """Wall time; on CUDA until the device is done."""
    if form not in case.forms:
        pytest.skip("not measured on this shape")
    benchmark.group = case.label
    benchmark.extra_info["bytes"] = case.bytes
    benchmark(_finished(case.forms[form]))


def _finished(call: Callable[[], object]) -> Callable[[], object]:
    if not torch.cuda.is_available():
        return call

    def run() -> object:
        result = call()
        torch.cuda.synchronize()
        return result

    return run
