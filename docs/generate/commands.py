"""A page per command, from its parser."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from html import escape
from typing import Any

from tvtfast.cli.main import COMMANDS
from tvtfast.cli.parsing import Parser


def pages() -> Iterator[tuple[str, str]]:
    """Names and texts of the pages."""
    for name in COMMANDS:
        parser = importlib.import_module(f"tvtfast.cli.{name}").parser()
        parser.prog = f"tvtfast {name}"
        parser.add_import_flag()
        parser.add_output_flags()
        yield name, page(name, COMMANDS[name], parser)


def page(name: str, about: str, parser: Parser) -> str:
    """What a command does, its examples and a table of flags per group."""
    lines = [f"# tvtfast {name}", "", f"{about[0].upper()}{about[1:]}."]
    if parser.description and parser.description.rstrip(".").lower() != about.lower():
        lines += ["", escape(" ".join(parser.description.split()), quote=False)]
    if parser.examples:
        lines += ["", "```", *parser.examples, "```"]
    for group in parser._action_groups:
        flags = [action for action in group._group_actions if action.help != "==SUPPRESS=="]
        rows = [row(action) for action in flags if "--help" not in action.option_strings]
        if rows:
            title = group.title if group.title not in (None, "options") else "flags"
            title = {"positional arguments": "arguments"}.get(str(title), str(title))
            lines += ["", f"## {title[0].upper()}{title[1:]}", ""]
            lines += ["| flag | default | what |", "| --- | --- | --- |", *rows]
    lines += ["", "Output, exit statuses and keys of the JSON: [The command line](../cli.md).", ""]
    return "\n".join(lines)


def row(action: Any) -> str:
    """A flag, its default and its help as a line of a table."""
    flag = ", ".join(action.option_strings) or action.dest
    default = action.default
    shown = "" if default is None or default == [] or "SUPPRESS" in str(default) else str(default)
    said = escape(" ".join((action.help or "").replace("%%", "%").split()), quote=False)
    cells = [f"`{flag}`", f"`{shown}`" if shown else "", said]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
