"""The page on extending, by letter: a proxy, a space, a strategy and a teacher of a user's own."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import tvtfast
from tvtfast import spaces
from tvtfast.cli import main
from tvtfast.models import load_student

pytestmark = pytest.mark.usefixtures("own_names")

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"
SECTIONS = ("A proxy", "A search space", "A strategy", "A teacher")
USE = "All four together"
LINES = 60
"""Lines of code that all four may take, blank ones not counted."""

if not PAGE.exists():
    pytest.skip(f"{PAGE} does not lie beside the tests", allow_module_level=True)


def block(section: str) -> str:
    """The first Python block of a section."""
    found = re.search(
        rf"^## {section}\n(?:(?!^## ).)*?^```python\n(.*?)^```", PAGE.read_text(), re.M | re.S
    )
    assert found is not None, section
    return found[1]


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file of the first three sections, in the working folder."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "my_module.py"
    path.write_text("\n\n".join(map(block, SECTIONS[:3])))
    yield path
    sys.modules.pop("my_module", None)


def test_all_four_are_short() -> None:
    code = [line for section in SECTIONS for line in block(section).splitlines() if line.strip()]
    assert len(code) < LINES


def test_a_hybrid_is_searched_scored_and_distilled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Convolutions and attention of the user's own layers, from the search to a student folder."""
    monkeypatch.chdir(tmp_path)
    program = "\n\n".join(map(block, (*SECTIONS, USE)))
    names: dict[str, object] = {"__name__": "own"}
    exec(compile(program, str(PAGE), "exec", dont_inherit=True), names)
    found = names["found"]
    assert isinstance(found, tvtfast.SearchResult)
    table = found.table.to_pandas()
    assert 1 < len(table) <= 6
    for name in ("teacher_aware", "spread"):
        assert set(found.table.status[name]) == {"ok"}
        assert table[name].nunique() == len(table)
    trained = names["student"]
    loaded = load_student(trained.folder)
    assert loaded.card.space == "hybrid" and loaded.card.arch == spaces.get("hybrid").to_dict(
        found.best
    )
    assert loaded.module(torch.zeros(2, 3, 16, 16)).shape == (2, 10)
    del spaces.registry._spaces["hybrid"]
    with pytest.raises(ValueError, match="student holds a network of space 'hybrid'.*--import"):
        load_student(trained.folder)


@pytest.mark.slow
def test_the_command_line_knows_the_file(
    own_module: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = re.findall(r"^    tvtfast (\w+) (--import my_module.py .*)$", PAGE.read_text(), re.M)
    assert [command for command, _ in commands[-2:]] == ["search", "score"]
    small = ["--img-size", "16", "--patch-size", "8", "--batch-size", "4", "--device", "cpu"]
    for command, options in commands[-2:]:
        count = ["--trials", "3"] if command == "search" else []
        assert main([command, *options.split(), *small, *count, "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["space"] == "hybrid"
    assert told["candidates"][0]["proxies"]["spread"]["status"] == "ok"
