"""Who called the package."""

from __future__ import annotations

import sys

_PACKAGE = __name__.partition(".")[0]


def caller_level() -> int:
    """The ``stacklevel`` for which `warnings.warn` names the code that called the package, whatever
    lies between; that of the outermost frame where all of it is the package.

    To be asked for in the call of `warnings.warn` itself.
    """
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and _is_ours(frame.f_globals.get("__name__", "")):
        frame, level = frame.f_back, level + 1
    return level


def _is_ours(module: str) -> bool:
    return module == _PACKAGE or module.startswith(f"{_PACKAGE}.")
