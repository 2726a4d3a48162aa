"""Names that stand for several proxies."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")

GROUPS: dict[str, tuple[str, ...]] = {
    "zero-cost": (
        "az_nas",
        "dss",
        "fisher",
        "grad_norm",
        "grasp",
        "jacob_cov",
        "l2_norm",
        "meco",
        "naswot",
        "ntk_trace",
        "plain",
        "snip",
        "swap",
        "synflow",
        "zen",
        "zico",
    ),
}
"""Members of every group; ``zero-cost`` are the scores that papers compare with and that need no
teacher."""


def expand_groups(names: str | Iterable[T]) -> tuple[T | str, ...]:
    """Names with the members of a group in its place, each name once; proxies pass through."""
    found: list[T | str] = []
    given: Iterable[T | str] = [names] if isinstance(names, str) else names
    for name in given:
        members = GROUPS.get(name, (name,)) if isinstance(name, str) else (name,)
        found += [one for one in members if not (isinstance(one, str) and one in found)]
    return tuple(found)
