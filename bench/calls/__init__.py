"""Calls of every operator, from the smallest that is possible to those of large models.

A call of the smallest shape is mostly the price of being called, one of the largest is bound by
arithmetic or memory; a rule that chooses a backend has to be right for all. A file here has
``SHAPES``: by operator a builder, and what it takes behind the dtype.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from bench.calls.tensors import Arguments

SHAPES: dict[str, tuple[Callable[..., Arguments], tuple[tuple[Any, ...], ...]]] = {}
"""Of every file here."""
for _module in pkgutil.iter_modules(__path__):
    SHAPES |= getattr(importlib.import_module(f"{__name__}.{_module.name}"), "SHAPES", {})


def label(shape: Sequence[Any]) -> str:
    """What a row is called; a long list by its length."""
    if len(shape) > 10:
        return f"{shape[0]} of {len(shape) - 1}"
    return " ".join("+".join(part) if isinstance(part, tuple) else str(part) for part in shape)


def calls(operator: str, dtype: torch.dtype) -> Iterator[tuple[str, Arguments]]:
    """Names and arguments of the calls of an operator, each built when it is asked for."""
    build, shapes = SHAPES[operator]
    for shape in shapes:
        yield label(shape), build(dtype, *shape)
