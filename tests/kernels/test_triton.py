"""The Triton backend from outside: when it serves, what it costs to have, its interpreted tests."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tvtfast import kernels
from tvtfast.kernels import dispatch
from tvtfast.kernels.backend import triton as capability
from tvtfast.kernels.dispatch import OPERATORS


def triton_of(operator: str) -> Callable[[Any], tuple[str, ...]]:
    """The reasons of one operator."""
    (found,) = (i for i in dispatch.IMPLEMENTATIONS[operator] if i.backend == "triton")
    return found.reasons


INTERPRETED = Path(__file__).parents[1] / "triton"
PARTS = 3
ALLOWED = "allowed: cuda, or cpu under TRITON_INTERPRET=1"


def test_cpu_tensors_are_declined() -> None:
    for operator in OPERATORS:
        if all(i.backend != "triton" for i in dispatch.IMPLEMENTATIONS[operator]):
            continue
        (explanation,) = kernels.explain(operator)
        assert ALLOWED in explanation.declined["triton"][-1]
    with pytest.raises(kernels.BackendError, match="'triton': .*x is on cpu"):
        kernels.attention_map(torch.ones(1, 2, 2, 2), backend="triton")


def test_missing_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capability, "missing", lambda: ("triton is not installed",))
    assert kernels.attention_map(torch.ones(1, 2, 2, 2)).shape == (1, 4)
    with pytest.raises(kernels.BackendError, match="not installed; x is on cpu"):
        kernels.attention_map(torch.ones(1, 2, 2, 2), backend="triton")


def test_interpreter_accepts_cpu_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    x = torch.ones(1, 2, 2, 2)
    maps, norms, indexed = (
        triton_of(name) for name in ("attention_map", "segment_norms", "indexed_normal_")
    )
    assert maps(OPERATORS["attention_map"].call(x, [2, 2])) == capability.missing()
    found = norms(OPERATORS["segment_norms"].call([x, x.double()]))
    (reason,) = found[len(capability.missing()) :]
    assert reason == "a tensor is float64 (allowed: float32, float16, bfloat16)"
    fill = OPERATORS["indexed_normal_"].call(x.double(), 0, 0.0, 1.0)
    assert indexed(fill) == capability.missing()


def test_explaining_a_device_imports_no_triton(tmp_path: Path) -> None:
    code = """
import sys
from tvtfast import kernels
kernels.explain()
assert "triton" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


@pytest.mark.parametrize("part", range(PARTS))
def test_interpreted_kernels(tmp_path: Path, part: int) -> None:
    """A part of the files of ``tests/triton``, in a process whose triton interprets."""
    if importlib.util.find_spec("triton") is None:
        pytest.skip(capability.missing()[0])
    files = sorted(INTERPRETED.glob("test_*.py"))[part::PARTS]
    # pytest options of the outer run, such as --cov, are not for that process
    inherited = {key: value for key, value in os.environ.items() if key != "PYTEST_ADDOPTS"}
    result = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *("-o", "addopts=--import-mode=importlib --strict-markers", *map(str, files)),
        ],
        cwd=tmp_path,
        env={**inherited, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-1000:]
    assert "passed" in result.stdout
