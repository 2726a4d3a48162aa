"""Packages that only some uses of tvtfast need."""

from __future__ import annotations

import re
from importlib import metadata
from importlib.util import find_spec


def need(package: str, at_least: str, *, what: str, extra: str | None = None) -> None:
    """Refuse to go on without a package, or with an older version than was tested.

    A package that is importable and not installed, such as a source folder on the path, is taken as
    it is.

    Args:
        package: Name to import, which is also the name on the package index.
        at_least: The oldest version that serves, ``1.1.5``.
        what: What needs it, as the beginning of a sentence.
        extra: The extra of tvtfast that brings it.

    Raises:
        ModuleNotFoundError: It is missing.
        ImportError: It is too old.
    """
    remedy = f"pip install 'tvtfast[{extra}]'" if extra else f"pip install '{package}>={at_least}'"
    if find_spec(package) is None:
        raise ModuleNotFoundError(
            f"{what} needs {package} {at_least} or newer, which is not installed; {remedy}",
            name=package,
        )
    try:
        found = metadata.version(package)
    except metadata.PackageNotFoundError:
        return
    if _release(found) < _release(at_least):
        raise ImportError(
            f"{what} needs {package} {at_least} or newer, and {found} is installed; {remedy}",
            name=package,
        )


def _release(version: str) -> tuple[int, ...]:
    """``2.10.0rc1`` as (2, 10, 0)."""
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(number) for number in found.group().split(".")) if found else ()
