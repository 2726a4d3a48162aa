"""What is asked for by name, and what is said where nothing has that name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_SUGGESTED = 3
_BEGUN = 2
"""Letters from which the beginning of a name is taken for it."""


def near(given: str, known: Iterable[str]) -> tuple[str, ...]:
    """The known names that a mistyped or shortened one may stand for, likeliest first."""
    plain = {name: _plain(name) for name in known}
    asked = _plain(given)
    begun = [name for name, own in plain.items() if len(asked) >= _BEGUN and own.startswith(asked)]
    alike = difflib.get_close_matches(asked, plain.values(), n=_SUGGESTED)
    mistyped = [name for close in alike for name, own in plain.items() if own == close]
    return tuple(dict.fromkeys([*begun, *mistyped]))[:_SUGGESTED]


def did_you_mean(given: object, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: ``; did you mean evolution?``, or nothing."""
    found = near(given, known) if isinstance(given, str) else ()
    return f"; did you mean {' or '.join(found)}?" if found else ""


def unknown(what: str, given: object, known: Iterable[str], *, also: str = "") -> str:
    """A message that says what was given, what is known and what may be meant.

    Args:
        what: What the name is of, such as ``strategy``.
        given: What was given for the name.
        known: The names that there are.
        also: What else is taken, such as ``a function``.
    """
    known = tuple(known)
    listed = ", ".join(known) + (f", or {also}" if also else "")
    return f"unknown {what} {given!r}; known: {listed}{did_you_mean(given, known)}"


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "").replace(" ", "")
