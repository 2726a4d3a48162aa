"""Journeys of a new user: scripts, and what the site shows of them.

``python tests/journeys/journey.py NAME OUTPUT`` writes a script and a file with its output into the
page that shows it.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
PAGES = HERE.parents[1] / "docs" / "tutorials"
END = "<!-- journey: end -->"


def shown(name: str, output: str) -> str:
    """What a page shows of a journey."""
    script = (HERE / name).read_text(encoding="utf-8").strip()
    language = "python" if name.endswith(".py") else "bash"
    return f"```{language}\n{script}\n```\n\nprints\n\n```text\n{output.strip()}\n```\n"


def on_page(name: str) -> tuple[Path, str]:
    """The page of a journey, and the part of it that shows the journey.

    Raises:
        ValueError: No page does, or several do.
    """
    begin = f"<!-- journey: {name} -->\n"
    found = [page for page in sorted(PAGES.glob("*.md")) if begin in page.read_text("utf-8")]
    if len(found) != 1:
        raise ValueError(f"{len(found)} pages have a line {begin!r}; one is to show it")
    return found[0], found[0].read_text("utf-8").partition(begin)[2].partition(END)[0].strip()


def output_of(part: str) -> str:
    """The output in the part of a page."""
    return part.rpartition("```text\n")[2].rpartition("```")[0]


def words(output: str) -> str:
    """An output without what differs by machine: numbers, units of time, rungs, breaks of lines."""
    numbers = re.sub(r"[-+]?\d[\d.,x]*", "#", output)
    times = re.sub(r"# (ms|s|min|h)\b", "#", numbers)
    rungs = re.sub(r"(?:# on #[\s,]*)+", "# on # ", times.replace(" threads", " thread"))
    return " ".join(re.sub(r"#(?:[\s,]*#)+", "#", rungs).split())


def write(name: str, output: str) -> None:
    """Show a journey on its page."""
    page, part = on_page(name)
    text = page.read_text("utf-8")
    begin = f"<!-- journey: {name} -->\n"
    before, _, rest = text.partition(begin)
    after = rest.partition(END)[2]
    page.write_text(f"{before}{begin}\n{shown(name, output)}\n{END}{after}", "utf-8")


if __name__ == "__main__":
    write(sys.argv[1], Path(sys.argv[2]).read_text("utf-8"))
