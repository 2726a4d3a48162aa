"""The README is one screen, and shows what was measured."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[1]
MOST_LINES = 120
RESULTS = """
AMD EPYC, 2 cores, torch 2.13.0 & more

| candidates | nodes |
| --- | --- |
| published protocol | 9 |

| form | s per candidate | ratio |
| --- | --- | --- |
| published protocol | 2.0 | 1.00 |
| plain loop, PyTorch alone | 1.0 | 2.00 |
| plain loop, our operators | 1.0 | 2.00 |
| tree, fp32 | 0.5 | 4.00 |
| tree, bf16 | 0.25 | 8.00 |

after it
"""


@pytest.fixture
def readme(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    if not (ROOT / "bench").is_dir():
        pytest.skip("the source tree is not here")
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("bench.readme")


def test_picture_is_that_of_the_results(readme: ModuleType) -> None:
    results = readme.RESULTS.read_text(encoding="utf-8")
    bars = readme.seconds(results)
    text = readme.README.read_text(encoding="utf-8")
    assert text == readme.replaced(text, readme.measured(bars)), "run python -m bench.readme"
    drawn = readme.picture(bars, readme.machine(results))
    assert readme.PICTURE.read_text(encoding="utf-8") == drawn, "run python -m bench.readme"


def test_it_is_one_screen_and_its_links_lead_somewhere(readme: ModuleType) -> None:
    text = readme.README.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MOST_LINES
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text)
    assert len(links) > 5
    missing = [link for link in links if ":" not in link and not (ROOT / link).exists()]
    assert not missing


def test_bars_are_as_long_as_their_seconds(readme: ModuleType) -> None:
    bars = readme.seconds(RESULTS)
    assert list(bars.values()) == [2.0, 1.0, 0.5, 0.25]
    drawn = ElementTree.fromstring(readme.picture(bars, readme.machine(RESULTS)))
    space = "{http://www.w3.org/2000/svg}"
    lengths = [float(bar.attrib["width"]) for bar in drawn.iter(f"{space}rect")]
    assert lengths == pytest.approx([lengths[0] / divisor for divisor in (1, 2, 4, 8)], abs=0.1)
    words = [str(text.text) for text in drawn.iter(f"{space}text")]
    assert "0.25 s, 8.0 times faster" in words and words[-1].endswith("torch 2.13.0 & more")


def test_a_missing_row_is_named(readme: ModuleType) -> None:
    with pytest.raises(ValueError, match="no row for tvtfast, bf16"):
        readme.seconds(RESULTS.replace("| tree, bf16 | 0.25 | 8.00 |\n", ""))


def test_markers_must_be_there(readme: ModuleType) -> None:
    with pytest.raises(ValueError, match="measured: begin"):
        readme.replaced("# tvtfast\n", "table")
