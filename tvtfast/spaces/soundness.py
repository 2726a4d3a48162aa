"""What any architecture of a family must be, whatever a space searches: checks, and their words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tvtfast.spaces.plain import shown

LARGEST = 10_000
"""Most blocks, heads or channels of a sound architecture."""
WIDEST = 100_000
"""Most channels of a layer inside a block."""


def check_count(
    space: str, decision: str, value: int, most: int = LARGEST, *, least: int = 1
) -> None:
    """Refuse what is no number of blocks, heads or channels.

    Raises:
        ValueError: Below ``least`` or above ``most``.
    """
    if not least <= value <= most:
        raise ValueError(f"{space}: {decision} is {shown(value)}; give {least} to {most:,}")


def check_counts(
    space: str, decision: str, values: Sequence[int], most: int = LARGEST, *, least: int = 1
) -> None:
    """`check_count` of every entry; the message names the first that is wrong."""
    if values and least <= min(values) and max(values) <= most:
        return
    for place, value in enumerate(values):
        check_count(space, f"{decision}[{place}]", value, most, least=least)


def check_length(space: str, decision: str, values: Sequence[Any], depth: int) -> None:
    """Refuse a list that does not have one entry per block.

    Raises:
        ValueError: It has another length.
    """
    if len(values) != depth:
        raise ValueError(
            f"{space}: {decision} has {len(values)} entries for depth {shown(depth)}; give one "
            "per block"
        )


def check_divides(space: str, decision: str, heads: int, name: str, width: int) -> None:
    """Refuse heads that a width does not split into.

    Raises:
        ValueError: There is a remainder.
    """
    if width % heads:
        raise ValueError(
            f"{space}: {decision} is {heads}, and {name} {width} does not split into {heads} "
            "heads; give a divisor of it"
        )


def check_inner(space: str, decision: str, heads: int, width: int) -> None:
    """Refuse a total width of q, k and v whose thirds do not split into heads.

    Raises:
        ValueError: There is a remainder.
    """
    if width % (3 * heads):
        raise ValueError(
            f"{space}: {decision} is {width} for {heads} heads; q, k and v are a third each, and "
            f"split into heads: give a multiple of {3 * heads}"
        )


def not_searched(decision: str, value: Any, allowed: Sequence[Any]) -> str:
    """The words for a value that a space does not search; empty for one that it does."""
    if value in allowed:
        return ""
    return f"{decision} is {shown(value)}; searched: {', '.join(map(str, allowed))}"


def first_not_searched(decision: str, values: Sequence[Any], allowed: Sequence[Any]) -> str:
    """`not_searched` of the first such entry of a list."""
    if set(values) <= set(allowed):
        return ""
    place = next(place for place, value in enumerate(values) if value not in allowed)
    return not_searched(f"{decision}[{place}]", values[place], allowed)
