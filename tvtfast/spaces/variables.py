"""Decisions of a space whose architectures are all described by the same ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Variable:
    """One decision and the values it may take.

    Args:
        name: What is decided, such as ``mlp_ratio``.
        choices: The values, in a fixed order.
    """

    name: str
    choices: tuple[Any, ...]
