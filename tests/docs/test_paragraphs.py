"""Paragraphs are short enough to be read at one go."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
PAGES = [path for path in PAGES if path.exists()]
LONGEST = 6 * 120
"""Characters of six lines as a reader sees them."""


def paragraphs(text: str) -> Iterator[tuple[int, str]]:
    """What a reader sees of every paragraph and item of a list, with the number of its first line.

    Code, tables, headings and comments are none; of a link its text is seen.
    """
    blank = lambda found: "\n" * found[0].count("\n")  # noqa: E731
    text = re.sub(r"^(`{3,})[^\n]*\n.*?^\1$", blank, text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"<!--.*?-->", blank, text, flags=re.DOTALL)
    collected: list[str] = []
    start = 0
    for number, line in enumerate([*text.splitlines(), ""], 1):
        begins = re.match(r"\s*([-*]|\d+\.) ", line)
        is_prose = bool(line.strip()) and not re.match(r"\s*([|#<]|!!!|---)", line)
        if collected and (begins or not is_prose):
            yield start, _seen(" ".join(collected))
            collected = []
        if is_prose and (collected or begins or not line.startswith("    ")):
            start = start if collected else number
            collected.append(line.strip().removeprefix("> "))


def _seen(text: str) -> str:
    text = re.sub(r"!?\[([^]]*)\]\([^)]*\)", r"\1", text)
    return re.sub(r"^([-*]|\d+\.) |[`*]", "", text)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_paragraph_has_more_than_six_lines(path: Path) -> None:
    found = [
        f"line {number}: {len(text)} characters, begins with {text[:50]!r}"
        for number, text in paragraphs(path.read_text(encoding="utf-8"))
        if len(text) > LONGEST
    ]
    assert not found, f"cut these in two, or make a list of them: {found}"


def test_what_is_a_paragraph() -> None:
    page = """# A heading
one
two [three](four.md) `five`

```python
code = 1
```

- an item
  that goes on
- another

| a | table |

<!-- a
comment -->
last
"""
    assert list(paragraphs(page)) == [
        (2, "one two three five"),
        (9, "an item that goes on"),
        (11, "another"),
        (17, "last"),
    ]
