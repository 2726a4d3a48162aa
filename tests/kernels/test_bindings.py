"""The C++ modules name no operator: each defines itself in its own file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CSRC = next(
    (
        p / "csrc"
        for p in Path(__file__).resolve().parents
        if (p / "csrc" / "bindings.cpp").exists()
    ),
    None,
)
pytestmark = pytest.mark.skipif(CSRC is None, reason="csrc is not beside the tests")
DEFINED = re.compile(r'm\.def\("(\w+)"')


def operators() -> set[str]:
    assert CSRC is not None
    files = CSRC.rglob("*_binding.cpp")
    return {name for path in files for name in DEFINED.findall(path.read_text(encoding="utf-8"))}


@pytest.mark.parametrize("name", ["bindings.cpp", "cuda/cuda_bindings.cpp"])
def test_module_names_no_operator(name: str) -> None:
    assert CSRC is not None
    words = set(re.findall(r"\w+", (CSRC / name).read_text(encoding="utf-8")))
    stems = {path.name.removesuffix("_binding.cpp") for path in CSRC.rglob("*_binding.cpp")}
    assert operators()
    assert words.isdisjoint(operators() | stems)


def test_only_binding_files_know_pybind11() -> None:
    assert CSRC is not None
    files = [path for path in CSRC.rglob("*") if path.is_file() and "binding" not in path.name]
    assert [path.name for path in files if "pybind11" in path.read_text(encoding="utf-8")] == []
