"""Parsers of commands: one plain line for what is wrong, and a help with examples."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from jsonargparse import ArgumentParser, DefaultHelpFormatter

from tvtfast.common.foreign import reading
from tvtfast.common.names import did_you_mean

_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
}
IMPORT = "import"
"""The value of ``--import``."""
OUTPUT_FLAGS = ("json", "quiet")
"""Flags of every command that change nothing of what it does."""
_RENAMED = {
    "run_dir": ("output_dir",),
    "executor": ("workers",),
    "workers": ("loading_workers", "workers"),
}
"""Arguments of Python that have another name on the command line; the first that a command has."""


class UsageError(ValueError):
    """Flags that are unknown, have no such value, or do not go together."""


class Parser(ArgumentParser):
    """A parser that raises `UsageError`, and has flags that every command has.

    Args:
        description: What the command does.
        examples: Commands as a user types them; the end of the help.

    Attributes:
        choices: By name of a flag's value the names that it takes; a shell completes them.
        preset: From the flags to other defaults, which single flags override.
        given: The arguments that were parsed last.
    """

    def __init__(self, description: str, examples: Sequence[str] = ()) -> None:
        lines = "\n".join(f"  {example}" for example in examples)
        super().__init__(
            description=description,
            epilog=f"examples:\n{lines}" if examples else None,
            formatter_class=_Help,
        )
        self.examples = tuple(examples)
        self.choices: dict[str, Sequence[str]] = {}
        self.preset: Callable[[Any], Mapping[str, Any]] | None = None
        self.given: list[str] = []

    def add_import_flag(self) -> None:
        """What a user registers in Python, for the command."""
        self.add_argument(
            f"--{IMPORT}",
            type=str,
            nargs="+",
            default=[],
            help="Python files or modules, imported first; spaces, proxies, strategies and models "
            "that they register are known then",
        )

    def add_output_flags(self) -> None:
        """How results and progress are shown; the flags come last in the help."""
        group = self.add_argument_group("output")
        group.add_argument(
            "--json", action="store_true", help="print the result as one JSON object"
        )
        group.add_argument(
            "--quiet", action="store_true", help="no progress and no notes; warnings stay"
        )

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Refuse flags in one line."""
        raise UsageError(self._plainly(message)) from ex

    def parse_args(self, args: Sequence[str] | None = None, **options: Any) -> Any:  # type: ignore[override]
        """The values of flags; with those of `preset` in place of the defaults."""
        self.given = [] if args is None else list(args)
        cfg = super().parse_args(args, **options)
        if self.preset is None or not (defaults := self.preset(cfg)):
            return cfg
        self.set_defaults(dict(defaults))
        return super().parse_args(args, **options)

    def parse_path(self, cfg_path: Any, *args: Any, **kwargs: Any) -> Any:
        """A configuration; the message about one that is no text names the file."""
        with (
            reading(cfg_path, "a configuration", advice="save it as UTF-8 text"),
            open(cfg_path, encoding="utf-8") as text,
        ):
            text.read()
        return super().parse_path(cfg_path, *args, **kwargs)

    def flag(self, dest: str) -> str | None:
        """The flag that sets a value, as a user types it."""
        for action in self._actions:
            if action.dest == dest and action.option_strings:
                return action.option_strings[0]
        return None

    def in_flags(self, message: str) -> str:
        """A message of the library that begins with an argument, about the flag of it."""
        match = re.match(r"(\w+)(?= is |=)", message)
        names = _RENAMED.get(match[1], (match[1],)) if match else ()
        flag = next(filter(None, map(self.flag, names)), None)
        return message if match is None or flag is None else flag + message[match.end() :]

    def _plainly(self, message: str) -> str:
        flags = [flag for action in self._actions for flag in action.option_strings]
        if match := re.match(r"unrecognized arguments: (.*)", message):
            given = match[1].split()
            wrong = next((one for one in given if one.startswith("-")), given[0])
            named = wrong.split("=")[0].split(".")[0]
            if wrong.startswith("-"):
                return f"unknown option {named}{did_you_mean(named, flags)}{self._see_help}"
            return f"{wrong!r} belongs to no option{self._see_help}"
        if match := re.match(r"Option '(.*?)' is not accepted", message):
            known = [action.dest for action in self._actions if action.option_strings]
            return f"--cfg: unknown option {match[1]!r}{did_you_mean(match[1], known)}"
        if match := re.match(r'Parser key "(.*?)":', message):
            value = re.findall(r"(?:Given value|Got value): (.*)", message)
            action = next((a for a in self._actions if a.dest == match[1]), None)
            if value and action is not None:
                wanted = _wanted(getattr(action, "_typehint", str))
                return f"{self.flag(match[1])} takes {wanted}, got {value[-1]!r}"
        if match := re.match(r"argument (\S+): (.*)", message):
            return f"{match[1].split('/')[-1]}: {match[2]}"
        return " ".join(message.split())

    @property
    def _see_help(self) -> str:
        return f"; '{self.prog} --help' lists them"


class _Help(DefaultHelpFormatter):
    """Examples keep their lines."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if text.startswith("examples:"):
            return text
        return super()._fill_text(text, width, indent)


def _wanted(hint: Any) -> str:
    """A type in words."""
    name = getattr(hint, "__name__", "")
    if name in _KINDS:
        return _KINDS[name]
    parts = [part for part in getattr(hint, "__args__", ()) if part is not type(None)]
    if getattr(hint, "__origin__", None) in (list, dict, tuple):
        return "JSON such as " + _example(hint)
    return " or ".join(dict.fromkeys(_wanted(part) for part in parts)) or "another value"


def _example(hint: Any) -> str:
    parts: tuple[Any, ...] = getattr(hint, "__args__", ())
    origin = getattr(hint, "__origin__", None)
    if origin is dict:
        return f'{{"name": {_example(parts[-1])}}}'
    if origin in (list, tuple):
        return f"[{', '.join(_example(part) for part in parts)}]"
    return {"int": "1", "float": "0.5", "str": '"text"'}.get(getattr(hint, "__name__", ""), "1")
