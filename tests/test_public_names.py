"""Public names stay: ``python tests/test_public_names.py`` adds the new ones to the list."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

LIST = Path(__file__).with_name("public_names.txt")
ROOT = Path(__file__).parents[1]
MODULES = (
    "tvtfast",
    "tvtfast.data",
    "tvtfast.distill",
    "tvtfast.growing",
    "tvtfast.kernels",
    "tvtfast.models",
    "tvtfast.pipeline",
    "tvtfast.population",
    "tvtfast.proxies",
    "tvtfast.report",
    "tvtfast.scoring",
    "tvtfast.searching",
    "tvtfast.spaces",
    "tvtfast.strategies",
    "tvtfast.students",
    "tvtfast.supernet",
    "tvtfast.training",
)


def public() -> set[str]:
    """All names that modules export."""
    return {
        f"{module}.{name}" for module in MODULES for name in importlib.import_module(module).__all__
    }


def listed() -> list[str]:
    return LIST.read_text(encoding="utf-8").split()


def gone(names: list[str]) -> list[str]:
    """Those of some names that their module no longer exports, or that lead nowhere."""
    exported = public()
    return [
        name
        for name in names
        if name not in exported
        or not hasattr(importlib.import_module(name.rpartition(".")[0]), name.rpartition(".")[2])
    ]


def test_no_name_is_gone() -> None:
    names = listed()
    assert len(names) > 200 and names == sorted(set(names))
    assert not gone(names), "public names went; CONTRIBUTING.md says what that takes"


def test_a_name_that_goes_is_seen() -> None:
    assert gone(["tvtfast.score", "tvtfast.scores"]) == ["tvtfast.scores"]


def test_the_package_lists_all_its_names() -> None:
    own = {name for name in listed() if name.count(".") == 1}
    new = {name for name in public() if name.count(".") == 1} - own
    assert not new, "run python tests/test_public_names.py"


def test_there_is_one_version() -> None:
    project, citation = ROOT / "pyproject.toml", ROOT / "CITATION.cff"
    if not citation.exists():
        pytest.skip("the source tree is not here")
    (version,) = re.findall(r'^version = "(.*)"$', project.read_text("utf-8"), re.MULTILINE)
    assert re.findall(r"^version: (.*)$", citation.read_text("utf-8"), re.MULTILINE) == [version]


if __name__ == "__main__":
    LIST.write_text("\n".join(sorted(public())) + "\n", encoding="utf-8")
