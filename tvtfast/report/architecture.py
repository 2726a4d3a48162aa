"""An architecture's canonical JSON in readable form, whatever its space."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class DecisionTable:
    """Decisions made once per block or stage.

    Attributes:
        axis: What the columns count: ``Block``, ``Stage`` or ``Index``.
        length: Number of columns.
        rows: Name of the decision and its value at each position.
    """

    axis: str
    length: int
    rows: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class ArchView:
    """Decisions made once (``facts``), those made per block or stage (``tables``), and the JSON."""

    facts: tuple[tuple[str, str], ...]
    tables: tuple[DecisionTable, ...]
    text: str


def arch_view(text: str) -> ArchView:
    """Split ``text`` into scalar decisions and one table per list length.

    Text that is no JSON object is kept as the single fact ``arch``.
    """
    decisions = _decisions(text)
    lists = {name: value for name, value in decisions.items() if _is_list(value)}
    facts = tuple((name, _plain(v)) for name, v in decisions.items() if name not in lists)
    lengths = dict.fromkeys(len(value) for value in lists.values())
    tables = tuple(
        DecisionTable(
            axis=_axis(decisions, length),
            length=length,
            rows=tuple(
                (name, tuple(map(_plain, value)))
                for name, value in lists.items()
                if len(value) == length
            ),
        )
        for length in lengths
    )
    return ArchView(facts, tables, text)


def compact(text: str) -> str:
    """One line: ``depth 3 · hidden_dim 216 · num_heads 3 4 4``."""
    return " · ".join(
        f"{name} {' '.join(map(_plain, value)) if _is_list(value) else _plain(value)}"
        for name, value in _decisions(text).items()
    )


def _decisions(text: str) -> Mapping[str, Any]:
    try:
        parsed = json.loads(text)
    except json.JSONDecodeError:
        return {"arch": text}
    return parsed if isinstance(parsed, dict) else {"arch": text}


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and not any(isinstance(item, (list, dict)) for item in value)


def _axis(decisions: Mapping[str, Any], length: int) -> str:
    depth = decisions.get("depth", decisions.get("depths"))
    if length in (depth, sum(depth) if isinstance(depth, list) else None):
        return "Block"
    return "Stage" if isinstance(depth, list) and len(depth) == length else "Index"


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{value:g}"
    return json.dumps(value)
