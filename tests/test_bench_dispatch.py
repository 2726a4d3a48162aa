"""The benchmark of dispatch finds a slower backend that is taken, and results that are wrong."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from tvtfast.kernels import dispatch as kernel_dispatch
from tvtfast.kernels.dispatch import IMPLEMENTATIONS, OPERATORS, Implementation
from tvtfast.kernels.layer_norm import reference

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(not (ROOT / "bench").is_dir(), reason="the source tree is not here")
DELAY = 0.005
"""Seconds; a layer norm of the shapes here takes less than half of it on any machine."""
SECONDS = 0.002


@pytest.fixture
def dispatch(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The benchmark, with a layer norm of two small shapes."""
    monkeypatch.syspath_prepend(str(ROOT))
    module = importlib.import_module("bench.dispatch")
    calls = importlib.import_module("bench.calls")
    build, _ = calls.SHAPES["layer_norm"]
    monkeypatch.setitem(calls.SHAPES, "layer_norm", (build, ((1, 8), (3, 16))))
    monkeypatch.setattr(module, "DTYPES", (torch.float32,))
    return module


def plant(monkeypatch: pytest.MonkeyPatch, run: Callable[[Any], Tensor], first: bool) -> None:
    """A second backend beside PyTorch, before or behind it."""
    planted = Implementation("native", kernel_dispatch.serves_all, run, "cpu")
    plain = Implementation("reference", kernel_dispatch.serves_all, reference.run)
    monkeypatch.setitem(
        IMPLEMENTATIONS, "layer_norm", (planted, plain) if first else (plain, planted)
    )


def slow(call: Any) -> Tensor:
    time.sleep(DELAY)
    return reference.run(call)


def test_a_slower_backend_that_is_taken_is_caught(
    dispatch: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plant(monkeypatch, slow, first=True)
    output = tmp_path / "dispatch.md"
    given = ["layer_norm", "--threads", "1", "--seconds", str(SECONDS), "--output", str(output)]
    assert dispatch.main(given) == 1
    text = output.read_text()
    assert "2 of 2 calls are wrong." in text and text.count(" WRONG |") == 2


def test_a_slower_backend_that_is_not_taken_is_right(
    dispatch: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plant(monkeypatch, slow, first=False)
    assert dispatch.main(["layer_norm", "--threads", "1", "--seconds", str(SECONDS)]) == 0
    assert "0 of 2 calls are wrong." in capsys.readouterr().out


def test_what_looked_wrong_once_is_measured_again(
    dispatch: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    delays = [DELAY] * 20

    def slow_at_first(call: Any) -> Tensor:
        if delays:
            time.sleep(delays.pop())
        return reference.run(call)

    plant(monkeypatch, slow_at_first, first=True)
    call = OPERATORS["layer_norm"].call(torch.randn(400, 400), 1e-6)
    seen: list[float] = []
    real = dispatch.measure

    def noted(forms: Any, timer: Any, cold: bool, seconds: float) -> Any:
        seen.append(seconds)
        return real(forms, timer, cold, seconds)

    monkeypatch.setattr(dispatch, "measure", noted)
    monkeypatch.setattr(dispatch, "LEAST", 0.5)
    backends = ["native", "reference"]
    row = dispatch.settled("layer_norm", "400 400", call, backends, torch.float32, SECONDS)
    assert not row.wrong
    assert seen[:2] == [SECONDS, dispatch.LONGER * SECONDS] and len(seen) <= 1 + dispatch.AGAIN


def test_a_wrong_result_is_caught(dispatch: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, lambda call: reference.run(call) + 0.01, first=True)
    with pytest.raises(AssertionError, match="layer_norm, auto: result 0 is off by 0.0"):
        dispatch.main(["layer_norm", "--threads", "1", "--seconds", str(SECONDS)])


def test_every_operator_with_a_choice_has_calls(dispatch: ModuleType) -> None:
    chosen = {
        name for name, entry in IMPLEMENTATIONS.items() if any(i.device == "cpu" for i in entry)
    }
    assert set(dispatch.SHAPES) == chosen
    for name in chosen - {"layer_norm"}:
        label, arguments = next(iter(dispatch.calls(name, torch.float32)))
        call = OPERATORS[name].call(*arguments)
        dispatch.check(name, call, dispatch.serving(name, call), torch.float32)
