"""What of the site is made by code is complete, and the built site asks nobody for anything."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import tvtfast
from tvtfast.cli.main import COMMANDS

ROOT = Path(__file__).parents[2]
OUTSIDE = re.compile(
    r"<(?:script|img|iframe|source|video|audio|embed)\b[^>]*\bsrc=[\"']?(?:https?:)?//[^\"'>\s]*"
    r"|<link\b(?![^>]*\brel=[\"']?canonical)[^>]*\bhref=[\"']?(?:https?:)?//[^\"'>\s]*"
    r"|url\([\"']?(?:https?:)?//[^)]*|@import[^;]*//[^;]*"
)

if not (ROOT / "docs" / "generate").is_dir():
    pytest.skip("the pages do not lie beside the tests", allow_module_level=True)


@pytest.fixture(scope="module")
def generate() -> Iterator[object]:
    """Modules of ``docs/generate`` by name."""
    sys.path.insert(0, str(ROOT))
    yield lambda name: importlib.import_module(f"docs.generate.{name}")
    sys.path.remove(str(ROOT))


def test_every_flag_is_on_the_page_of_its_command(generate) -> None:
    pages = dict(generate("commands").pages())
    assert pages.keys() == COMMANDS.keys()
    for name, text in pages.items():
        parser = importlib.import_module(f"tvtfast.cli.{name}").parser()
        flags = [flag for action in parser._actions for flag in action.option_strings]
        missing = [flag for flag in flags if flag not in text and flag not in ("-h", "--help")]
        assert not missing, name
        assert "`--json`" in text and text.count("\n# ") == 0


def test_every_public_name_is_on_a_page(generate) -> None:
    pages = dict(generate("api").pages())
    missing = [name for name in tvtfast.__all__ if f"`{name}`" not in pages["tvtfast"]]
    assert missing == ["__version__"]
    for name in pages.keys() - {"tvtfast"}:
        for public in importlib.import_module(name).__all__:
            assert f"        - {public}\n" in pages[name]


def test_picture_of_rooms_is_that_of_the_table(generate) -> None:
    rooms = generate("rooms")
    needs = rooms.table(rooms.TABLE.read_text(encoding="utf-8"))
    drawn = rooms.picture(needs)
    assert rooms.PICTURE.read_text(encoding="utf-8") == drawn, "run python -m docs.generate.rooms"
    rows = rooms.levels(needs)
    assert all(rows[name] < rows[room] for room in needs for name in needs[room])
    with pytest.raises(ValueError, match="a circle among a, b"):
        rooms.levels({"a": {"b"}, "b": {"a"}, "c": set()})


def test_arrows_lead_wherever_imports_do(generate) -> None:
    """What is left out follows from what is drawn."""
    rooms = generate("rooms")
    needs = rooms.table(rooms.TABLE.read_text(encoding="utf-8"))
    drawn: dict[str, set[str]] = {room: set() for room in needs}
    for start, end in rooms.arrows(needs):
        drawn[end].add(start)
    assert sum(map(len, drawn.values())) < sum(map(len, needs.values()))
    assert all(rooms._reach(drawn, room) == rooms._reach(needs, room) for room in needs)


def outside(folder: Path) -> list[str]:
    """What pages and styles of a folder would load from elsewhere."""
    return [
        f"{path.relative_to(folder)}: {found}"
        for path in sorted(folder.rglob("*"))
        if path.suffix in (".html", ".css", ".svg")
        for found in OUTSIDE.findall(path.read_text(encoding="utf-8"))
    ]


def test_requests_are_seen(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<a href="https://a.b/">a link</a> <link rel="canonical" href="https://a.b/">'
        '<script src="https://c.d/x.js"></script><link rel="stylesheet" href="//e.f/x.css">'
    )
    (tmp_path / "b.css").write_text("@font-face { src: url(https://g.h/x.woff) } p { color: red }")
    found = outside(tmp_path)
    assert [word in line for word, line in zip(("c.d", "e.f", "g.h"), found, strict=True)]
    assert len(found) == 3


@pytest.mark.slow
def test_the_site_is_built_and_asks_nobody(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="pip install '.[docs]'")
    pytest.importorskip("mkdocstrings", reason="pip install '.[docs]'")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    assert (tmp_path / "commands" / "search.html").exists()
    scoring = (tmp_path / "api" / "tvtfast.scoring.html").read_text(encoding="utf-8")
    assert 'id="tvtfast.scoring.Scorer"' in scoring
    assert "<!-- test" not in (tmp_path / "hosts.html").read_text(encoding="utf-8")
    assert not outside(tmp_path)
