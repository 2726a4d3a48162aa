"""Completion of commands and flags in a shell, written by shtab."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from tvtfast.cli.parsing import Parser, UsageError
from tvtfast.common.names import did_you_mean

SHELLS = ("bash", "zsh", "tcsh")


def completion(shell: str, parsers: Mapping[str, Parser], about: Mapping[str, str]) -> str:
    """The script that makes a shell complete ``tvtfast``.

    Args:
        shell: One of `SHELLS`.
        parsers: Of the commands, by name.
        about: What they do.

    Raises:
        UsageError: Another shell.
        ModuleNotFoundError: shtab is not installed.
    """
    if shell not in SHELLS:
        raise UsageError(
            f"--print-completion takes {', '.join(SHELLS)}, got {shell!r}"
            f"{did_you_mean(shell, SHELLS)}"
        )
    try:
        import shtab
    except ImportError as error:
        raise ModuleNotFoundError(
            "completion is written by shtab, which is not installed; pip install "
            "'tvtfast[completion]'"
        ) from error
    root = argparse.ArgumentParser(prog="tvtfast")
    root.add_argument("--version", action="store_true", help="print the version")
    root.add_argument("--print-completion", choices=SHELLS, help="print this script")
    under: Any = root.add_subparsers()
    for name, parser in parsers.items():
        _copy(parser, under.add_parser(name, help=about[name]))
    script: str = shtab.complete(root, shell)
    return script


def _copy(parser: Parser, copied: argparse.ArgumentParser) -> None:
    """The flags of a command as argparse has them, and what it takes by position."""
    for action in parser._actions:
        if action.option_strings and "-h" not in action.option_strings:
            added = copied.add_argument(*action.option_strings, help=_escaped(action.help))
            added.nargs, added.choices = action.nargs, parser.choices.get(action.dest)
        elif not action.option_strings and action.dest in parser.choices:
            copied.add_argument(action.dest, choices=parser.choices[action.dest])


def _escaped(text: str | None) -> str | None:
    return None if text is None else text.replace("%", "%%")
