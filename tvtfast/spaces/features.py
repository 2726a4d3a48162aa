"""Architectures as a few numbers in closed form: depth, width and their like."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

T = TypeVar("T")


def block_features(**per_block: Sequence[float]) -> dict[str, float]:
    """The number of blocks as ``depth``, and of every quantity the mean over blocks as ``<name>``
    and the sum as ``<name>_sum``.

    Args:
        **per_block: One value per block, as many of every quantity.
    """
    (depth,) = {len(values) for values in per_block.values()}
    found = {"depth": float(depth)} | {name: _mean(values) for name, values in per_block.items()}
    return found | {f"{name}_sum": math.fsum(values) for name, values in per_block.items()}


def by_block(depths: Iterable[int], per_stage: Iterable[T]) -> tuple[T, ...]:
    """What holds for the stages, once per block of each."""
    pairs = zip(depths, per_stage, strict=True)
    return tuple(itertools.chain.from_iterable((value,) * depth for depth, value in pairs))


def field_features(arch: Any) -> dict[str, float]:
    """Fields of a dataclass: a number as it is, a tuple of numbers by its mean and its sum.

    Fields that hold anything else have no feature.
    """
    found = {}
    for name in (field.name for field in fields(arch)) if is_dataclass(arch) else ():
        value = getattr(arch, name)
        if isinstance(value, (int, float)):
            found[name] = float(value)
        elif isinstance(value, tuple) and all(isinstance(one, (int, float)) for one in value):
            found |= {name: _mean(value), f"{name}_sum": math.fsum(value)}
    return found


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan
