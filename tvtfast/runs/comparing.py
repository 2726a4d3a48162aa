"""Two runs side by side: settings that differ, what they ended with, and their curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tvtfast.common.identity import shown
from tvtfast.runs.reading import Run

MISSING = "not there"
"""What stands for a setting that one run does not have."""


@dataclass(frozen=True)
class Comparison:
    """What differs between two runs.

    Args:
        settings: By name of a setting the two values as text, where they differ; parts of a nested
            setting have names with dots.
        best: By name what each ended with; ``None`` where a run has no such value.
        curves: By name the columns that both have, a number per population or epoch.
    """

    settings: Mapping[str, tuple[str, str]]
    best: Mapping[str, tuple[float | None, float | None]]
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]]


def compare(first: Run, second: Run) -> Comparison:
    """Compare two runs; those of different commands have few settings in common."""
    before = {"command": first.command, **_flat(first.settings)}
    after = {"command": second.command, **_flat(second.settings)}
    return Comparison(
        settings={
            name: (_text(before, name), _text(after, name))
            for name in dict.fromkeys((*before, *after))
            if name not in before or name not in after or before[name] != after[name]
        },
        best={
            name: (first.best.get(name), second.best.get(name))
            for name in dict.fromkeys((*first.best, *second.best))
        },
        curves={
            name: (values, second.curve[name])
            for name, values in first.curve.items()
            if name in second.curve
        },
    )


def _flat(settings: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):  # one without parts differs from one with parts by these
            found |= _flat(value, f"{above}{name}.")
        else:
            found[f"{above}{name}"] = value
    return found


def _text(settings: Mapping[str, Any], name: str) -> str:
    return shown(settings[name]) if name in settings else MISSING
