"""Hooks of mkdocs: pages that are made by code, and links that leave the folder of pages."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from docs.generate import api, commands  # noqa: E402

RESULTS = ROOT / "bench" / "results"
FROM_OUTSIDE = {"changelog.md": "CHANGELOG.md", "contributing.md": "CONTRIBUTING.md"}
MACHINERY = re.compile(r"<!-- (test|journey)\b.*?-->\n*", re.DOTALL)
"""Comments that say how the code of a page is run."""


def made() -> dict[str, str]:
    """Paths on the site and texts of all pages that do not lie in ``docs``."""
    texts = {f"commands/{name}.md": text for name, text in commands.pages()}
    texts |= {f"api/{name}.md": text for name, text in api.pages()}
    for path in sorted(RESULTS.glob("*.md")):
        texts[f"results/{path.name}"] = path.read_text(encoding="utf-8")
    for page, source in FROM_OUTSIDE.items():
        texts[page] = (ROOT / source).read_text(encoding="utf-8").replace("](docs/", "](")
    return texts


def placed(entries: Any) -> set[str]:
    """Paths that stand somewhere in the navigation."""
    if isinstance(entries, str):
        return {entries}
    inner = entries.values() if isinstance(entries, dict) else entries
    return set().union(*map(placed, inner))


def on_config(config: Any) -> Any:
    """Fill the sections of the navigation whose pages are made, and those that nobody placed."""
    filled = {
        "Commands": ["cli.md", *(f"commands/{name}.md" for name in commands.COMMANDS)],
        "API": [f"api/{name}.md" for name in ("tvtfast", *(f"tvtfast.{r}" for r in api.ROOMS))],
        "Measured": [f"results/{path.name}" for path in sorted(RESULTS.glob("*.md"))],
    }
    for section in config["nav"]:
        for title in section.keys() & filled.keys():
            section[title] = filled[title]
    folder = Path(config["docs_dir"])
    pages = {path.relative_to(folder).as_posix() for path in folder.rglob("*.md")}
    others = sorted(pages - placed(config["nav"]))
    for section in config["nav"]:
        if others and "Guides" in section:
            section["Guides"].append({"More": others})
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made."""
    for path, text in made().items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links to results and to the root stay on the site; comments for tests do not."""
    up = "../" * page.file.src_uri.count("/")
    markdown = re.sub(r"\]\((?:\.\./)+bench/results/([\w-]+\.md)", rf"]({up}results/\1", markdown)
    for target, source in FROM_OUTSIDE.items():
        markdown = re.sub(rf"\]\((?:\.\./)*{re.escape(source)}", f"]({up}{target}", markdown)
    return MACHINERY.sub("", markdown)
