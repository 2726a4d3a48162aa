"""A page per public module, from docstrings."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

import tvtfast

ROOMS = (
    "kernels",
    "spaces",
    "models",
    "data",
    "population",
    "proxies",
    "scoring",
    "strategies",
    "searching",
    "growing",
    "training",
    "distill",
    "supernet",
    "students",
    "report",
    "pipeline",
)


def pages() -> Iterator[tuple[str, str]]:
    """Names and texts of the pages, the one of the package first."""
    yield "tvtfast", package()
    for room in ROOMS:
        yield f"tvtfast.{room}", module(f"tvtfast.{room}")


def package() -> str:
    """Where the names of the package itself are described."""
    lines = ["# tvtfast", "", "`import tvtfast` loads nothing heavy; names come on first use.", ""]
    lines += ["| name | what |", "| --- | --- |"]
    for name in tvtfast.__all__:
        if name == "__version__":
            continue
        found = getattr(tvtfast, name)
        said = (found.__doc__ or "").strip().partition("\n\n")[0]
        said = " ".join(said.replace("|", "\\|").split())
        home = found.__name__ if name in tvtfast._SUBPACKAGES else _home(name)
        anchor = "" if name in tvtfast._SUBPACKAGES else f"#{home}.{name}"
        link = f"[`{name}`]({home}.md{anchor})" if home.split(".")[1] in ROOMS else f"`{name}`"
        lines.append(f"| {link} | {said} |")
    return "\n".join([*lines, ""])


def module(name: str) -> str:
    """All public names of a module."""
    names = [public for public in importlib.import_module(name).__all__ if public[0] != "_"]
    lines = [f"# {name}", "", f"::: {name}", "    options:", "      members:"]
    return "\n".join([*lines, *(f"        - {public}" for public in sorted(names)), ""])


def _home(name: str) -> str:
    return f"tvtfast.{tvtfast._HOMES[name]}"
