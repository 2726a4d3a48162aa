"""Python blocks of a Markdown page, and what HTML comments between them say about running them.

``<!-- test: setup`` up to ``-->``
    code that a reader does not see, in its place among the blocks; what is said of the next block
    before it holds for it, too.
``<!-- test: needs PACKAGE -->``
    the next block runs where that package is installed.
``<!-- test: gpu -->``
    the next block runs where there is a CUDA device.
``<!-- test: skip REASON -->``
    the next block runs nowhere, such as for a data set that is not there.
``<!-- test: elsewhere tests/FILE.py -->``
    the next block is run by that test.
``<!-- journey: FILE -->``
    the next block is that file of ``tests/journeys``, which runs it.
``<!-- test page: slow -->``
    the page takes more than about ten seconds.
``<!-- test page: elsewhere tests/FILE.py -->``
    all blocks are run by that test.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PART = re.compile(
    r"^<!-- test(?P<page> page)?: (?P<what>\w+)[ \n](?P<rest>.*?)-->$"
    r"|^<!-- journey: (?P<journey>\w+\.py) -->$"
    r"|^```python[^\n]*\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
JOURNEYS = "tests/journeys/test_journeys.py"
CONDITIONS = ("needs", "gpu", "skip", "elsewhere")


@dataclass(frozen=True)
class Block:
    """One block of code.

    Attributes:
        code: What it is.
        line: Number of its first line on the page.
        shown: Whether a reader sees it.
        condition: One of `CONDITIONS`, or empty.
        argument: Package, reason or test of the condition.
    """

    code: str
    line: int
    shown: bool = True
    condition: str = ""
    argument: str = ""


@dataclass(frozen=True)
class Page:
    """A page and its blocks."""

    path: Path
    blocks: tuple[Block, ...]
    slow: bool = False
    elsewhere: str = ""


def read(path: Path) -> Page:
    """The blocks of a page.

    Raises:
        ValueError: A comment says something that is not known.
    """
    text = path.read_text(encoding="utf-8")
    blocks: list[Block] = []
    slow, elsewhere = False, ""
    condition: tuple[str, str] = ("", "")
    for part in _PART.finditer(text):
        what, rest = part["what"], (part["rest"] or "").strip()
        line = text.count("\n", 0, part.start()) + 2
        if part["journey"]:
            condition = ("elsewhere", JOURNEYS)
        elif what is None:
            blocks.append(Block(part["code"], line, True, *condition))
            condition = ("", "")
        elif part["page"] and what == "slow":
            slow = True
        elif part["page"] and what == "elsewhere":
            elsewhere = rest
        elif not part["page"] and what == "setup":
            blocks.append(Block(rest + "\n", line, False, *condition))
        elif not part["page"] and what in CONDITIONS:
            condition = (what, rest)
        else:
            raise ValueError(f"{path}, line {line - 1}: nothing is known of 'test: {what}'")
    return Page(path, tuple(blocks), slow, elsewhere)


def commands(path: Path) -> Iterator[tuple[int, str]]:
    """Lines of ``tvtfast COMMAND ...`` that stand on a page as code, with their line numbers."""
    inside, fenced = False, False
    pending, start = "", 0
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("```"):
            inside = not inside
            fenced = inside and line.strip("`") in ("", "bash")
            continue
        text = line.strip().removeprefix("$ ")
        code = fenced or line.startswith("    ")
        if pending:
            pending += " " + text.rstrip("\\").strip()
        elif code and text.startswith("tvtfast "):
            pending, start = text.rstrip("\\").strip(), number
        if pending and not text.endswith("\\"):
            yield start, pending.partition(" #")[0].strip()
            pending = ""
