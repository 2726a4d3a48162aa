"""Write ``__init__.pyi``, what checkers and editors see of the names that are found at run time.

``python -m tvtfast.kernels.stub`` renews it.
"""

from __future__ import annotations

import importlib
from pathlib import Path

PATH = Path(__file__).with_name("__init__.pyi")


def text() -> str:
    """The stub of the package as it is now."""
    package = importlib.import_module(str(__package__))
    lines = ['"""Made by ``python -m tvtfast.kernels.stub``."""', ""]
    found = sorted((_home(package.__name__, name), name) for name in package.__all__)
    lines += [f"from .{home} import {name} as {imported}" for (home, name), imported in found]
    lines += ["", "__all__ = [", *(f'    "{name}",' for name in sorted(package.__all__)), "]", ""]
    return "\n".join(lines)


def _home(package: str, public: str) -> tuple[str, str]:
    """The module below the package that a public name comes from, and its name there."""
    value = getattr(importlib.import_module(package), public)
    return value.__module__.removeprefix(f"{package}."), value.__name__


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
