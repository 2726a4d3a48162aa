"""``tests/triton/test_offsets.py`` can fail: kernels that multiply offsets in 32 bits."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tvtfast.kernels.backend import triton as capability

OFFSETS = Path(__file__).parents[1] / "triton" / "test_offsets.py"
MUTANTS = [
    ("gram", "i.to(tl.int64) * slow", "i * slow", "test_gram and True-1"),
    ("slice_norms", "row.to(tl.int64) * row_units", "row * row_units", "test_slices and 0"),
    (
        "attention_block",
        "first = tl.program_id(0).to(tl.int64)",
        "first = tl.program_id(0)",
        "atten",
    ),
    ("attention_jvp", "j.to(tl.int64) * token_units", "j * token_units", "test_heads and 2"),
]
CODE = """
import importlib.util, sys, pytest
name, path, tests, chosen = sys.argv[1:]
spec = importlib.util.spec_from_file_location(name, path)
sys.modules[name] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules[name])
options = ["--import-mode=importlib", "-q", "-p", "no:cacheprovider", "-o", "addopts="]
sys.exit(pytest.main([*options, tests, "-k", chosen]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("mutated", (False, True))
@pytest.mark.parametrize(("operator", "old", "new", "chosen"), MUTANTS)
def test_an_offset_of_32_bits_is_found(
    tmp_path: Path, operator: str, old: str, new: str, chosen: str, mutated: bool
) -> None:
    """The process ends where memory does, or results differ; the original passes the same test."""
    if importlib.util.find_spec("triton") is None:
        pytest.skip(capability.missing()[0])
    name = f"tvtfast.kernels.{operator}.triton_kernels"
    spec = importlib.util.find_spec(name)
    assert spec is not None and spec.origin is not None
    text = Path(spec.origin).read_text()
    assert old in text
    path = tmp_path / "triton_kernels.py"
    path.write_text(text.replace(old, new) if mutated else text)
    inherited = {key: value for key, value in os.environ.items() if key != "PYTEST_ADDOPTS"}
    result = subprocess.run(
        [sys.executable, "-c", CODE, name, str(path), str(OFFSETS), chosen],
        cwd=tmp_path,
        env={**inherited, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
    )
    assert (result.returncode == 0) == (not mutated), result.stdout + result.stderr
    assert mutated or "passed" in result.stdout
