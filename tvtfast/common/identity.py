"""The identity of a run: everything that its result depends on, as plain values."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from tvtfast.common.imports import imported

_SHORT = 8
_DIGEST = re.compile(rf"'([0-9a-f]{{{_SHORT}}})[0-9a-f]{{{64 - _SHORT}}}'")


@dataclass(frozen=True)
class Identity:
    """What makes two runs the same run.

    Pixels, labels and weights are in it by their fingerprints, and modules of a user's own that the
    command imported (`tvtfast.common.imports`) by those of their sources, as ``imports``. Versions
    of packages are not: they are recorded, and a run may go on with others.

    Args:
        command: What runs, such as ``search``.
        settings: All that the result depends on; kept as JSON knows it.
        growing: Names of settings that may become larger: the same run goes on for longer.
        moving: Names of settings that may change: what was computed is used again, and the results
            made of it are replaced.

    Raises:
        TypeError: A setting that JSON does not know.
    """

    command: str
    settings: Mapping[str, Any]
    growing: tuple[str, ...] = ()
    moving: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        modules = imported()
        settings = dict(self.settings) | ({"imports": modules} if modules else {})
        plain = json.loads(json.dumps(settings, default=_number))
        object.__setattr__(self, "settings", plain)

    @property
    def short(self) -> str:
        """Eight hexadecimal digits, for the name of a folder."""
        text = json.dumps([self.command, self.settings], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:_SHORT]

    def differences(self, found: Mapping[str, Any], *, complete: bool = True) -> str:
        """Why settings that were recorded are those of another run, in words; empty where they are
        of this one.

        Args:
            found: The recorded settings.
            complete: Whether they are all; an earlier version recorded fewer, and what it left out
                is not compared.
        """
        names = found.keys() | self.settings.keys() if complete else found.keys()
        return "; ".join(
            f"{name} was {shown(found.get(name))}, now {shown(self.settings.get(name))}"
            for name in sorted(names)
            if not self._agrees(name, found.get(name))
        )

    def moved(self, found: Mapping[str, Any]) -> str:
        """Which of the settings that may change did, in words."""
        return "; ".join(
            f"{name} was {shown(found[name])}, now {shown(self.settings.get(name))}"
            for name in self.moving
            if name in found and found[name] != self.settings.get(name)
        )

    def unrecorded(self, found: Mapping[str, Any]) -> list[str]:
        """Names of settings that are not among those recorded."""
        return sorted(self.settings.keys() - found.keys())

    def _agrees(self, name: str, before: Any) -> bool:
        now = self.settings.get(name)
        if before == now or name in self.moving:
            return True
        numbers = all(isinstance(value, (int, float)) for value in (before, now))
        return name in self.growing and numbers and now > before


def _number(value: Any) -> int | float:
    """NumPy's numbers as Python's."""
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    raise TypeError(f"a {type(value).__name__} is no plain value: {value!r}")


def shown(value: Any) -> str:
    """A value, with fingerprints cut short."""
    return _DIGEST.sub(r"'\1...'", repr(value))
