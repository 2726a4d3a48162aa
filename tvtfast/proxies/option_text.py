"""Options of a proxy behind its name: ``name:option=value,option=value``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def parsed_options(proxy: str, text: str) -> dict[str, Any]:
    """The options in a text; what looks like a whole number is one.

    Args:
        proxy: Its name, for messages.
        text: What stands behind the colon.

    Raises:
        ValueError: It is not ``option=value``, or names an option twice.
    """
    found: dict[str, Any] = {}
    for part in text.split(","):
        option, equals, value = (piece.strip() for piece in part.partition("="))
        if not (option and equals and value) or option in found:
            raise ValueError(
                f"{text!r} behind {proxy + ':'!r} are no options; give each once, as "
                f"{proxy}:option=value,option=value"
            )
        found[option] = int(value) if value.isdecimal() else value
    return found


def option_text(options: Mapping[str, Any]) -> str:
    """The text of options, in the order of their names."""
    return ",".join(f"{name}={options[name]}" for name in sorted(options))
