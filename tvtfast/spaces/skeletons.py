"""Architectures that differ in one layer at a time, together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from tvtfast.spaces.steps import Step

A = TypeVar("A")

Slot: TypeAlias = "tuple[tuple[Any, Step], ...]"
"""The choices of one layer, and the step that each stands for."""


@dataclass(frozen=True)
class Skeleton(Generic[A]):
    """All architectures that share some steps and choose the others freely.

    A sum over layers is the sum over the fixed steps plus one summand per slot, whatever stands in
    the other slots; so the best of very many architectures is found slot by slot.

    Args:
        fixed: Steps that all of them have.
        slots: The layers to choose; every combination is an architecture.
        build: The architecture of one choice per slot.
    """

    fixed: tuple[Step, ...]
    slots: tuple[Slot, ...]
    build: Callable[[Sequence[Any]], A]
